import assert from 'node:assert/strict'
import test from 'node:test'
import type { ErrorCode } from '../../src/core/index.ts'
import { structuralFindings } from '../../src/eventlog/findings/structural-findings.ts'
import type { Severity } from '../../src/eventlog/log.ts'
import { preferredBank } from '../../src/eventlog/log.ts'
import { parseEventLog } from '../../src/eventlog/parse.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import {
  agileLog,
  event,
  GLOBAL,
  guid,
  regularBoot,
  SEPARATOR,
  SECURITY_DATABASE,
  SHIM,
  secureBootConfiguration,
  signatureList,
  specId,
  TYPE,
  u32,
  u64,
  variable,
  X509,
  type EventSpec,
} from './build-log.ts'
import { BOOTS, bootFile, realLog, realLogs } from './logs.ts'

function findingsOf(events: readonly EventSpec[]): string[] {
  return structuralFindings(parseEventLog(agileLog(events)), 'sha256').map(
    ({ code, severity }) => `${severity} ${code}`,
  )
}

function finds(events: readonly EventSpec[], severity: Severity, code: ErrorCode): void {
  assert.ok(
    findingsOf(events).includes(`${severity} ${code}`),
    `${code} is missing from ${findingsOf(events).join(', ')}`,
  )
}

const certificate = Buffer.concat([guid(GLOBAL), Buffer.from('3082000401020304', 'hex')])
const LOCALITY = { pcr: 0, type: TYPE.noAction, data: 'StartupLocality\0\u0003' }

test('a regular boot has no findings', () => {
  assert.deepEqual(findingsOf(regularBoot()), [])
})

for (const boot of BOOTS) {
  test(`the recorded boot ${boot} has no findings`, () => {
    assert.deepEqual(structuralFindings(parseEventLog(bootFile(boot, 'eventlog.bin')), 'sha256'), [])
  })
}

test(
  'no log of a real machine has an error: where machines deviate, there is a warning',
  {
    skip: SKIP_WITHOUT_SHARED_DATA,
  },
  () => {
    for (const name of realLogs()) {
      const log = parseEventLog(realLog(name))
      const bank = preferredBank(log)
      assert.ok(bank)
      assert.deepEqual(
        structuralFindings(log, bank).filter(({ severity }) => severity === 'error'),
        [],
        name,
      )
    }
  },
)

test('the findings of parsing are among them', () => {
  finds([{ pcr: 24, type: TYPE.ipl }], 'error', 'eventlog.register_range')
})

test('a bank with gaps is an error where it is the judged one, and a warning where it is not', () => {
  const banks = ['sha1', 'sha256'] as const
  const log = parseEventLog(Buffer.concat([specId({ banks }), event({ pcr: 14, type: TYPE.ipl }, ['sha256'])]))
  const codes = (bank: 'sha1' | 'sha256') =>
    structuralFindings(log, bank)
      .filter(({ code }) => code === 'eventlog.digest_missing')
      .map(({ severity }) => severity)
  assert.deepEqual(codes('sha1'), ['warning', 'error'])
  assert.deepEqual(codes('sha256'), ['warning'])
})

test('a payload that is not what was measured is an error', () => {
  finds([{ pcr: 4, type: TYPE.efiAction, data: 'x', measured: 'y' }], 'error', 'eventlog.payload_mismatch')
})

test('an event of PCR 7 that is no variable, separator or known action is an error', () => {
  for (const type of [TYPE.eventTag, TYPE.ipl, TYPE.firmwareBlob, 0x40e]) {
    finds([{ pcr: 7, type, data: 'x', measured: 'y' }], 'error', 'eventlog.event_unread')
  }
})

test('an event of the register that belongs to IMA is an error', () => {
  finds([{ pcr: 10, type: TYPE.ipl, data: 'x', measured: 'y' }], 'error', 'eventlog.ima_register')
})

test('what shows that somebody wrote the log is marked as forged, and what machines do by mistake is not', () => {
  const forged = (spec: EventSpec) =>
    structuralFindings(parseEventLog(agileLog([spec])), 'sha256')
      .filter(({ severity }) => severity === 'error')
      .map((finding) => finding.forged === true)
  assert.deepEqual(forged({ pcr: 4, type: TYPE.efiAction, data: 'x', measured: 'y' }), [true])
  assert.deepEqual(forged({ pcr: 4, type: TYPE.ipl, data: SEPARATOR }), [true])
  assert.deepEqual(forged({ pcr: 7, type: TYPE.ipl, data: 'x', measured: 'y' })[0], true)
  assert.deepEqual(forged({ pcr: 10, type: TYPE.ipl, data: 'x', measured: 'y' }), [true])
  assert.deepEqual(forged({ pcr: 0, type: TYPE.crtmVersion, data: 'x', measured: 'y' }), [false])
  assert.deepEqual(forged({ pcr: 5, type: TYPE.gpt, data: 'x' }), [false])
})

test('an unknown type is a warning while nothing vouches for its payload', () => {
  finds([{ pcr: 0, type: 0x40e, data: 'x', measured: 'y' }], 'warning', 'eventlog.type_unknown')
})

const disguises: readonly (readonly [string, EventSpec])[] = [
  ['a separator under another type', { pcr: 4, type: TYPE.ipl, data: SEPARATOR }],
  [
    'a separator with another payload under another type',
    { pcr: 4, type: TYPE.application, data: 'x', measured: SEPARATOR },
  ],
  [
    'the announcement of a boot attempt under another type',
    { pcr: 4, type: TYPE.application, data: 'x', measured: 'Calling EFI Application from Boot Option' },
  ],
  ['ExitBootServices under another type', { pcr: 5, type: TYPE.crtmVersion, data: 'Exit Boot Services Invocation' }],
  ['an unknown type with the digest of its payload', { pcr: 0, type: 0x40e, data: 'x' }],
  ['a firmware blob with the digest of its payload', { pcr: 0, type: TYPE.firmwareBlob, data: 'x' }],
  ['a GRUB command under another type', { pcr: 8, type: TYPE.compactHash, data: 'grub_cmd: boot\0', measured: 'boot' }],
  [
    'a variable under a type that has none',
    { pcr: 1, type: TYPE.efiAction, data: variable(GLOBAL, 'PK', Buffer.alloc(0)) },
  ],
  [
    'the value of a boot variable under another type',
    { pcr: 1, type: 0x80000009, data: variable(GLOBAL, 'Boot0001', Buffer.from('v')), measured: 'v' },
  ],
  [
    'a boot variable as configuration',
    { pcr: 1, type: TYPE.driverConfig, data: variable(GLOBAL, 'BootOrder', Buffer.alloc(2)) },
  ],
  [
    'SecureBoot as an authority',
    { pcr: 7, type: TYPE.authority, data: variable(GLOBAL, 'SecureBoot', Buffer.from([1])) },
  ],
  [
    'a whole db as an authority',
    {
      pcr: 7,
      type: TYPE.authority,
      data: variable(SECURITY_DATABASE, 'db', signatureList(X509, GLOBAL, Buffer.from('cert'))),
    },
  ],
  [
    'an unset db as an authority',
    { pcr: 7, type: TYPE.authority, data: variable(SECURITY_DATABASE, 'db', Buffer.alloc(0)) },
  ],
  [
    'the SBAT level as configuration',
    { pcr: 7, type: TYPE.driverConfig, data: variable(SHIM, 'SbatLevel', Buffer.from('sbat')) },
  ],
  [
    'a certificate of shim as configuration',
    { pcr: 7, type: TYPE.driverConfig, data: variable(SHIM, 'MokListRT', certificate) },
  ],
  ['PK as the policy of a device', { pcr: 7, type: 0x800000e3, data: variable(GLOBAL, 'PK', certificate) }],
  [
    'the version of the firmware under another type',
    { pcr: 0, type: TYPE.nonHostInfo, data: Buffer.from('fw 1\0', 'utf16le') },
  ],
]

for (const [name, spec] of disguises) {
  test(`${name} is an error`, () => {
    finds([spec], 'error', 'eventlog.type_disguised')
  })
}

test('shim may measure its lists as configuration, if it does so with all of its variables', () => {
  const list: EventSpec = { pcr: 7, type: TYPE.driverConfig, data: variable(SHIM, 'MokListTrusted', Buffer.from([1])) }
  const level: EventSpec = { pcr: 7, type: TYPE.authority, data: variable(SHIM, 'SbatLevel', Buffer.from('sbat')) }
  assert.deepEqual(findingsOf(regularBoot([list])), ['warning eventlog.variable_late'])
  finds(regularBoot([level, list]), 'error', 'eventlog.type_disguised')
})

test('boot variables under two types are an error', () => {
  const options: EventSpec[] = [
    { pcr: 1, type: TYPE.variableBoot, data: variable(GLOBAL, 'BootOrder', Buffer.from([1, 0])) },
    { pcr: 1, type: TYPE.variableBoot2, data: variable(GLOBAL, 'Boot0001', Buffer.from('v')) },
  ]
  finds(options, 'error', 'eventlog.type_disguised')
})

const malformed: readonly (readonly [string, EventSpec])[] = [
  ['a variable type with something else', { pcr: 7, type: TYPE.driverConfig, data: 'x' }],
  ['a partition table that is none', { pcr: 5, type: TYPE.gpt, data: 'x' }],
  ['a partition table without the identifier of its disk', { pcr: 5, type: TYPE.gpt, data: gpt(Buffer.alloc(16)) }],
  [
    'a partition table of the second version with the identifier of its disk',
    { pcr: 5, type: 0x8000000d, data: gpt(Buffer.alloc(16, 1)) },
  ],
  ['a separator with a text in a register of the firmware', { pcr: 4, type: TYPE.separator, data: 'text' }],
  ['an action that is no text', { pcr: 4, type: TYPE.action, data: Buffer.from([0x80]) }],
]

function gpt(disk: Buffer): Buffer {
  const header = Buffer.concat([Buffer.from('EFI PART'), Buffer.alloc(48), disk, Buffer.alloc(12), u32(128), u32(0)])
  return Buffer.concat([header, u64(0)])
}

for (const [name, spec] of malformed) {
  test(`${name} is an error`, () => {
    finds([spec], 'error', 'eventlog.payload_malformed')
  })
}

test('both versions of a partition table are fine where they belong', () => {
  const tables: EventSpec[] = [
    { pcr: 5, type: TYPE.gpt, data: gpt(Buffer.alloc(16, 1)) },
    { pcr: 5, type: 0x8000000d, data: gpt(Buffer.alloc(16)) },
  ]
  assert.deepEqual(findingsOf(regularBoot(tables)), [])
})

test('a type in a register where it does not belong is an error if its content is vouched for, else a warning', () => {
  finds([{ pcr: 4, type: TYPE.crtmVersion, data: 'v' }], 'error', 'eventlog.type_register')
  finds([{ pcr: 4, type: TYPE.postCode, data: 'x', measured: 'y' }], 'warning', 'eventlog.type_register')
})

test('a firmware error is an error, and its description need not be measured', () => {
  const spec = { pcr: 0, type: TYPE.separator, data: 'measurement failed', measured: u32(1) }
  assert.deepEqual(
    findingsOf(regularBoot([spec])).filter((each) => each.startsWith('error')),
    ['error eventlog.firmware_error'],
  )
})

test('an H-CRTM event after another is an error', () => {
  const hcrtm = { pcr: 0, type: TYPE.hcrtm, data: 'HCRTM', measured: 'code' }
  assert.deepEqual(findingsOf([hcrtm, ...regularBoot()]), [])
  finds(regularBoot([hcrtm]), 'error', 'eventlog.hcrtm_late')
})

test('a startup locality that is repeated, late or impossible is an error', () => {
  assert.deepEqual(findingsOf([LOCALITY, ...regularBoot()]), [])
  finds([LOCALITY, LOCALITY, ...regularBoot()], 'error', 'eventlog.startup_locality')
  finds(regularBoot([LOCALITY]), 'error', 'eventlog.startup_locality')
  finds([{ ...LOCALITY, data: 'StartupLocality\0\u0002' }], 'error', 'eventlog.startup_locality')
})

test('the last byte that an old shim leaves out is a warning', () => {
  const data = Buffer.concat([variable(SHIM, 'Shim', certificate), Buffer.alloc(6, 1)])
  const shim = { pcr: 7, type: TYPE.authority, data, measured: data.subarray(0, -1) }
  assert.deepEqual(findingsOf(regularBoot([shim])), ['warning eventlog.digest_short'])
})

test('a Secure Boot variable that comes twice, or after the separator, is an error', () => {
  const [secureBoot = { pcr: 7, type: 0 }] = secureBootConfiguration()
  finds([secureBoot, ...regularBoot()], 'error', 'eventlog.variable_repeated')
  const late = { pcr: 7, type: TYPE.driverConfig, data: variable(SECURITY_DATABASE, 'dbt', Buffer.alloc(0)) }
  finds(regularBoot([late]), 'error', 'eventlog.variable_late')
})

test('a variable with the name of a Secure Boot variable and another vendor is a warning', () => {
  const other = { pcr: 7, type: TYPE.driverConfig, data: variable(SHIM, 'PK', Buffer.alloc(0)) }
  finds([other, ...regularBoot()], 'warning', 'eventlog.variable_vendor')
})

test('a Secure Boot variable that was not measured is a warning', () => {
  finds(secureBootConfiguration().slice(1), 'warning', 'eventlog.variable_missing')
})

const bootOrder: EventSpec = {
  pcr: 1,
  type: TYPE.variableBoot,
  data: variable(GLOBAL, 'BootOrder', Buffer.from([1, 0])),
  measured: Buffer.from([1, 0]),
}
const bootOption = (name: string, vendor = GLOBAL): EventSpec => ({
  pcr: 1,
  type: TYPE.variableBoot,
  data: variable(vendor, name, Buffer.from(`option`)),
  measured: 'option',
})

test('boot options that the order names are fine', () => {
  assert.deepEqual(findingsOf(regularBoot([bootOrder, bootOption('Boot0001')])), [])
})

for (const [name, events] of [
  ['a name that no boot variable has', [bootOption('Cool0001')]],
  ['another vendor', [bootOption('Boot0001', SHIM)]],
  ['a number that the order does not name', [bootOrder, bootOption('Boot0002')]],
  ['a number that came before', [bootOrder, bootOption('Boot0001'), bootOption('Boot0001')]],
] as const) {
  test(`a boot variable whose name nothing vouches for, with ${name}, is an error`, () => {
    finds(events, 'error', 'eventlog.boot_variable')
  })
}

test('an option that BootNext may mean need not be in the order', () => {
  const next: EventSpec = { ...bootOption('BootNext'), measured: 'option' }
  assert.deepEqual(findingsOf(regularBoot([bootOrder, next, bootOption('Boot0007')])), [])
})

test('separators that are missing or repeated are warnings', () => {
  finds([{ pcr: 0, type: TYPE.crtmVersion, data: 'v' }], 'warning', 'eventlog.separator_missing')
  const separator = { pcr: 3, type: TYPE.separator, data: SEPARATOR }
  assert.deepEqual(findingsOf(regularBoot([separator])), ['warning eventlog.separator_repeated'])
})

test('registers that are left out of a log are not missing anything', () => {
  const only = (...pcrs: number[]) => findingsOf(regularBoot().filter(({ pcr }) => pcrs.includes(pcr)))
  assert.deepEqual(only(7), [])
  assert.deepEqual(only(0, 4), [])
})

test('a log without a firmware version is odd', () => {
  finds([{ pcr: 0, type: TYPE.firmwareBlob, data: 'x', measured: 'y' }], 'warning', 'eventlog.crtm_version_missing')
})

test('a measurement for the operating system before the firmware was done is a warning', () => {
  finds([{ pcr: 9, type: TYPE.ipl, data: 'x', measured: 'y' }, ...regularBoot()], 'warning', 'eventlog.pre_os_event')
})

test('an image without ExitBootServices behind it is a warning', () => {
  finds(regularBoot().slice(0, -1), 'warning', 'eventlog.exit_boot_services_missing')
})

test('a log that begins after the firmware has no order to keep', () => {
  assert.deepEqual(findingsOf([{ pcr: 14, type: TYPE.efiAction, data: 'file:/config/x exist:false' }]), [])
})

test('where Windows measures what it logs, a tagged event with another digest is an error', () => {
  const tag = (text: string, measured = text): EventSpec => ({ pcr: 12, type: TYPE.eventTag, data: text, measured })
  assert.deepEqual(findingsOf(regularBoot([tag('a'), tag('b')])), [])
  assert.deepEqual(findingsOf(regularBoot([tag('a', 'x'), tag('b', 'y')])), [])
  finds(regularBoot([tag('a'), tag('b', 'y')]), 'error', 'eventlog.payload_mismatch')
})
