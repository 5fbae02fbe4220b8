import assert from 'node:assert/strict'
import test from 'node:test'
import { SKIP_WITHOUT_SHARED_DATA } from '../../fixtures/shared-data.ts'
import { TYPE, u32, type EventSpec } from '../build-log.ts'
import { claimsOfEvents, realClaims, valueOf } from './every-claim.ts'

const tag = (id: number, data: Buffer): Buffer => Buffer.concat([u32(id), u32(data.byteLength), data])
const boundary = (...tags: readonly Buffer[]): Buffer => tag(0x40010001, Buffer.concat(tags))
const flag = (id: number, value: number): Buffer => tag(id, Buffer.from([value]))
const BOOT_DEBUGGING = 0x00040001
const TEST_SIGNING = 0x00050003
const measured = (pcr: number, data: Buffer): EventSpec => ({ pcr, type: TYPE.eventTag, data })
const closed = (pcr: number): EventSpec => ({ pcr, type: TYPE.separator, data: Buffer.from('WBCL', 'latin1') })
const CLOSED = [closed(12), closed(13)]

test('what Windows’ boot manager and loader say alike is known', () => {
  const { windows, loader } = claimsOfEvents([
    measured(12, boundary(flag(BOOT_DEBUGGING, 0), flag(TEST_SIGNING, 1))),
    measured(13, boundary(flag(BOOT_DEBUGGING, 0))),
    measured(12, boundary(flag(TEST_SIGNING, 1))),
    ...CLOSED,
  ])
  assert.equal(valueOf(windows.bootDebugging), false)
  assert.equal(valueOf(windows.testSigning), true)
  assert.deepEqual(windows.testSigning.events, [1, 3])
  assert.equal(windows.safeMode.state, 'unknown')
  assert.equal(valueOf(loader.name), 'windows-bootmgr')
})

test('what they say differently is unknown', () => {
  const { testSigning } = claimsOfEvents([
    measured(12, boundary(flag(TEST_SIGNING, 0))),
    measured(12, boundary(flag(TEST_SIGNING, 1))),
    ...CLOSED,
  ]).windows
  assert.ok(testSigning.state === 'unknown')
  assert.match(testSigning.reason, /differ/)
})

test('what stands behind Windows’ separator is nobody’s', () => {
  const { windows } = claimsOfEvents([
    measured(12, boundary(flag(TEST_SIGNING, 1))),
    ...CLOSED,
    measured(12, boundary(flag(BOOT_DEBUGGING, 0))),
  ])
  assert.equal(valueOf(windows.testSigning), true)
  assert.equal(windows.bootDebugging.state, 'unknown')
})

test('without Windows’ separators anybody may have measured it', () => {
  const { windows } = claimsOfEvents([measured(12, boundary(flag(TEST_SIGNING, 0)))])
  assert.ok(windows.testSigning.state === 'unknown')
  assert.match(windows.testSigning.reason, /separator/)
})

test('an event of PCR 12 that is of nothing in the log leaves everything open', () => {
  const { windows } = claimsOfEvents([
    measured(12, boundary(flag(TEST_SIGNING, 0))),
    { ...measured(12, boundary(flag(TEST_SIGNING, 1))), measured: 'another' },
    ...CLOSED,
  ])
  assert.ok(windows.testSigning.state === 'unknown')
  assert.deepEqual(windows.testSigning.events, [2])
})

test('tagged events of other programs are not Windows’', () => {
  const { windows } = claimsOfEvents([measured(12, tag(0x8f3b22ec, Buffer.from('x'))), ...CLOSED])
  assert.equal(windows.testSigning.state, 'unknown')
})

test('a flag that is no flag is unknown', () => {
  const odd = tag(TEST_SIGNING, Buffer.alloc(9))
  assert.equal(claimsOfEvents([measured(12, boundary(odd)), ...CLOSED]).windows.testSigning.state, 'unknown')
})

// Read from the bytes by hand: types of wbcl.h, containers walked by their sizes.
for (const [log, expected] of [
  [
    'thinkpad-p51-windows',
    { hypervisorLaunchType: 1, vsmLaunchType: 1, vsmRequired: true, bitlockerUnlock: [4, 1], modules: 91 },
  ],
  [
    'windows-option-rom-sha1',
    { hypervisorLaunchType: 1, vsmLaunchType: 1, vsmRequired: true, bitlockerUnlock: [4, 1], modules: 109 },
  ],
  [
    'dell-laptop',
    { hypervisorLaunchType: 0, vsmLaunchType: 0, vsmRequired: undefined, bitlockerUnlock: [0, 0], modules: 89 },
  ],
] as const) {
  test(`Windows of ${log}`, { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
    const { windows, eve, log: whole } = realClaims(log)
    for (const claim of [windows.bootDebugging, windows.kernelDebugging, windows.testSigning, windows.flightSigning]) {
      assert.equal(valueOf(claim), false)
    }
    assert.equal(valueOf(windows.codeIntegrity), true)
    assert.equal(valueOf(windows.safeMode), false)
    assert.equal(valueOf(windows.winPe), false)
    assert.equal(valueOf(windows.dataExecutionPrevention), 0)
    assert.equal(valueOf(windows.hypervisorLaunchType), expected.hypervisorLaunchType)
    assert.equal(valueOf(windows.vsmLaunchType), expected.vsmLaunchType)
    if (expected.vsmRequired === undefined) assert.equal(windows.vsmRequired.state, 'unknown')
    else assert.equal(valueOf(windows.vsmRequired), expected.vsmRequired)
    assert.deepEqual(valueOf(windows.bitlockerUnlock), expected.bitlockerUnlock)
    assert.deepEqual(valueOf(windows.elamDrivers), ['Windows Defender'])
    assert.equal(valueOf(windows.bootRevocationListTime), '2017-12-12T17:43:11.000Z')
    assert.equal(valueOf(windows.modules).length, expected.modules)
    assert.equal(eve.config.state, 'unknown')
    assert.ok(valueOf(whole.unread).every(({ pcr }) => pcr === 1))
  })
}
