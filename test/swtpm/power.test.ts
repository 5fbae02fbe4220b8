import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  measureInto,
  measureIntoTpm,
  powerOff,
  powerOn,
  readBoot,
  RECORDED_BOOTS,
  type Boot,
  type PowerOnOptions,
} from '../../swtpm/index.ts'
import { isTouchstoneError, type ErrorCode } from '../../src/core/index.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { isRunning, openFactory, pcrsOf, tpm2, type Factory } from './factory.ts'
import { BANKS, crtmVersion, hcrtm, startupLocality, syntheticLog, type SyntheticEvent } from './synthetic-log.ts'

let factory: Factory
let directory: string

before(async () => {
  factory = await openFactory()
  directory = (await factory.make('box')).directory
})
after(() => factory.close())

/** Switches the box on for `use` and off again. */
async function whileOn(
  options: Omit<PowerOnOptions, 'directory'>,
  use: (on: Awaited<ReturnType<typeof powerOn>>) => Promise<void>,
): Promise<void> {
  const on = await powerOn({ directory, ...options })
  try {
    await use(on)
  } finally {
    assert.deepEqual(await on.powerOff(), { clean: true })
    assert.equal(isRunning(on.pid), false)
  }
}

const coded = (code: ErrorCode) => (error: unknown) => isTouchstoneError(error, code)
const bootOf = (...events: SyntheticEvent[]): Boot => ({ name: 'synthetic', eventLog: syntheticLog(events) })

for (const name of RECORDED_BOOTS) {
  test(`brings all PCRs of all banks to those of the recorded boot ${name}`, async () => {
    const boot = await readBoot(name)
    await whileOn({ boot }, async ({ tcti }) => {
      for (const bank of BANKS) {
        assert.deepEqual(await pcrsOf(tcti, bank), Object.values(boot.pcrs?.[bank] ?? {}))
      }
    })
  })
}

for (const name of ['secure-boot', 'direct-kernel']) {
  const about = `brings all PCRs to those of a machine that this project did not record: ${name}`
  test(about, { skip: SKIP_WITHOUT_SHARED_DATA }, async () => {
    const file = (part: string) => readFile(sharedData(join('qemu-ovmf', name, part)))
    const pcrs: Record<string, Record<string, string>> = {}
    for (const [, bank = '', pcr = '', value = ''] of (await file('pcrs.txt'))
      .toString()
      .matchAll(/(\w+):(\d+)=(\w+)/g)) {
      pcrs[bank] = { ...pcrs[bank], [pcr]: value.toLowerCase() }
    }
    assert.deepEqual(Object.keys(pcrs), ['sha1', 'sha256'])
    const boot = { name, eventLog: await file('eventlog.bin'), imaLog: await file('ima.bin'), pcrs }
    await whileOn({ boot }, () => Promise.resolve())
  })
}

test('lays out the logs of the boot as the kernel does', async () => {
  const boot = await readBoot('honest')
  await whileOn({ boot, logs: join(factory.directory, 'security') }, async ({ eventLog, imaLog }) => {
    assert.equal(eventLog, join(factory.directory, 'security', 'binary_bios_measurements'))
    assert.deepEqual(await readFile(eventLog), boot.eventLog)
    assert.deepEqual(await readFile(imaLog), boot.imaLog)
  })
})

test('shows the node another log than was measured where it is told to', async () => {
  const presented = { eventLog: Buffer.from('forged') }
  await whileOn({ boot: await readBoot('cmdline'), presented }, async ({ eventLog, imaLog }) => {
    assert.deepEqual(await readFile(eventLog), presented.eventLog)
    assert.equal(existsSync(imaLog), false)
  })
})

test('counts a reset for each power cycle', async () => {
  const resets: number[] = []
  for (let cycle = 0; cycle < 3; cycle++) {
    await whileOn({}, async ({ tcti }) => {
      const clock = (await tpm2(tcti, 'tpm2_readclock')).toString()
      resets.push(Number(/reset_count: (\d+)/.exec(clock)?.[1]))
    })
  }
  const first = resets[0]
  assert.deepEqual(resets, [first, Number(first) + 1, Number(first) + 2])
})

test('survives a power cut', async () => {
  const on = await powerOn({ directory, boot: await readBoot('honest') })
  await on.cutPower()
  assert.equal(isRunning(on.pid), false)
  await whileOn({ boot: await readBoot('honest') }, () => Promise.resolve())
})

test('reports progress for every measurement', async () => {
  const seen: string[] = []
  const boot = await readBoot('honest')
  await whileOn({ boot, onProgress: ({ done, total }) => seen.push(`${done}/${total}`) }, () => Promise.resolve())
  assert.equal(seen.length, 49 + 37)
  assert.equal(seen.at(-1), '86/86')
})

test('starts PCR 0 at 3 when the log says startup locality 3', async () => {
  await whileOn({ boot: bootOf(startupLocality(3)) }, async ({ tcti }) => {
    for (const bank of BANKS) assert.match((await pcrsOf(tcti, bank))[0] ?? '', /^0+3$/)
  })
})

test('extends PCR 0 from locality 3', async () => {
  await whileOn({ boot: bootOf(startupLocality(3), crtmVersion('1.0')) }, async ({ tcti }) => {
    const sha256 = (...parts: Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest()
    const start = Buffer.alloc(32)
    start[31] = 3
    assert.equal(
      (await pcrsOf(tcti, 'sha256'))[0],
      sha256(start, sha256(Buffer.from('1.0', 'utf16le'))).toString('hex'),
    )
  })
})

test('measures an H-CRTM before startup, from locality 4', async () => {
  // More than swtpm takes at once.
  const content = 'the H-CRTM itself '.repeat(500)
  await whileOn({ boot: bootOf(startupLocality(4), hcrtm(content)) }, async ({ tcti }) => {
    const sha256 = (...parts: Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest()
    const start = Buffer.alloc(32)
    start[31] = 4
    assert.equal((await pcrsOf(tcti, 'sha256'))[0], sha256(start, sha256(Buffer.from(content))).toString('hex'))
  })
})

test('refuses an H-CRTM of which the log has the digest only', async () => {
  await assert.rejects(powerOn({ directory, boot: bootOf(hcrtm('HCRTM', 'code')) }), coded('standin.boot'))
})

test('refuses startup locality 4 without an H-CRTM', async () => {
  await assert.rejects(powerOn({ directory, boot: bootOf(startupLocality(4)) }), coded('standin.boot'))
})

test('refuses an event for a register that no TPM has', async () => {
  const event = { pcr: 24, type: 4, data: Buffer.alloc(4) }
  await assert.rejects(powerOn({ directory, boot: bootOf(event) }), coded('standin.boot'))
})

test('refuses to lie: PCRs that are not the recorded ones end the boot, and the TPM', async () => {
  const [honest, tampered] = await Promise.all([readBoot('honest'), readBoot('cmdline')])
  const boot: Boot = { ...honest, ...(tampered.pcrs === undefined ? {} : { pcrs: tampered.pcrs }) }
  await assert.rejects(powerOn({ directory, boot }), (error) => {
    assert.ok(isTouchstoneError(error, 'standin.pcrs'))
    assert.match(error.message, /sha1:8, sha1:9, sha1:10, sha256:8, sha256:9, sha256:10, sha384:8/)
    return true
  })
  await assert.rejects(powerOff(directory), coded('standin.state'))
})

test('measures a boot into a box that was started without one, once', async () => {
  const boot = await readBoot('honest')
  await whileOn({}, async ({ tcti, eventLog }) => {
    assert.equal(existsSync(eventLog), false)
    assert.equal((await measureInto({ directory, boot })).tcti, tcti)
    assert.equal((await pcrsOf(tcti, 'sha256'))[8], boot.pcrs?.['sha256']?.['8'])
    assert.deepEqual(await readFile(eventLog), boot.eventLog)
    await assert.rejects(measureInto({ directory, boot }), coded('standin.state'))
  })
})

test('does not measure into a started TPM what begins before its startup', async () => {
  await whileOn({}, async () => {
    await assert.rejects(measureInto({ directory, boot: bootOf(startupLocality(3)) }), coded('standin.state'))
  })
})

test('measures a boot into a TPM of one bank, and compares what both have', async () => {
  const narrow = (await factory.make('narrow')).directory
  const logs = join(narrow, 'elsewhere')
  const boot = await readBoot('honest')
  const first = await powerOn({ directory: narrow })
  await tpm2(first.tcti, 'tpm2_pcrallocate', 'sha1:none+sha256:all+sha384:none+sha512:none')
  await first.powerOff()
  const on = await powerOn({ directory: narrow })
  try {
    const { tcti } = on
    const sha1 = { ...boot, pcrs: { sha1: boot.pcrs?.['sha1'] ?? {} } }
    await assert.rejects(measureIntoTpm({ tcti, boot: sha1, logs }), coded('standin.pcrs'))
    const measured = await measureIntoTpm({ tcti, boot, logs })
    assert.deepEqual(await pcrsOf(tcti, 'sha256'), Object.values(boot.pcrs?.['sha256'] ?? {}))
    assert.deepEqual(await readFile(measured.eventLog), boot.eventLog)
    await assert.rejects(measureIntoTpm({ tcti, boot, logs }), coded('standin.state'))
  } finally {
    await on.powerOff()
  }
})

test('refuses to switch on a box that is on, and leaves it on', async () => {
  await whileOn({}, async ({ pid }) => {
    await assert.rejects(powerOn({ directory }), coded('device.swtpm'))
    assert.equal(isRunning(pid), true)
  })
})

test('refuses a directory without a box', async () => {
  await assert.rejects(powerOn({ directory: factory.directory }), coded('standin.state'))
})

test('refuses a boot that nobody recorded', async () => {
  await assert.rejects(readBoot('unheard-of'), coded('standin.boot'))
})
