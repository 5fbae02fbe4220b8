import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { z } from 'zod'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { touchstone } from './run-touchstone.ts'

const recorded = (boot: string) => join(import.meta.dirname, '..', '..', 'swtpm', 'boots', boot, 'eventlog.bin')

test('log diff shows on one screen which words of the command line changed', async () => {
  const { code, stdout } = await touchstone('log', 'diff', recorded('honest'), recorded('cmdline'))
  assert.equal(code, 1)
  assert.equal(stdout, TRANSCRIPT)
})

const TRANSCRIPT = `before  eventlog.bin  tcg2, 50 events
after   eventlog.bin  tcg2, 50 events

PCRs in sha256: 2 of 11 differ
    8  a901600c1d445ce0…  014453e34abcafc9…  11 events: 3 changed
    9  e6d00ccc500d7aa1…  30437c20a5c4c7ae…  4 events: 1 changed
equal  0 1 2 3 4 5 6 7 14

PCR 8 commands of the boot loader
  boot loader
  ~ #37      grub_cmd: … console=ttyS0 panic=10 ima_policy=tcb [-lockdown=integrity
             module.sig_enforce=1-] {+lockdown=none module.sig_enforce=0 init=/bin/sh
             systemd.debug-shell=1+} initrdefi /boot/initrd.img-6.1.0-56-cloud-amd64\\n}
  ~ #41      grub_cmd: … console=ttyS0 panic=10 ima_policy=tcb [-lockdown=integrity
             module.sig_enforce=1-] {+lockdown=none module.sig_enforce=0 init=/bin/sh
             systemd.debug-shell=1+}
  ~ #45      kernel_cmdline: … console=ttyS0 panic=10 ima_policy=tcb [-lockdown=integrity
             module.sig_enforce=1-] {+lockdown=none module.sig_enforce=0 init=/bin/sh
             systemd.debug-shell=1+}

PCR 9 files of the boot loader
  boot loader
  ~ #35     ?(hd0,gpt1)/EFI/debian/grub.cfg  digest 3566067de0fdad9b… → 8b076c6b0df6129d…
  ? named by a label that no digest covers

In words (of the logs alone: no quote was judged)
  The kernel’s command line opens the machine: lockdown=none (no lockdown), module.sig_enforce=0
  (unsigned modules), init=/bin/sh (another first program), systemd.debug-shell=1 (a shell at the
  console), no lockdown=integrity, no module.sig_enforce=1.
  next Ask who worked on the machine: these parameters are for rescue and debugging. Otherwise take
       the node out of service; whoever can edit the command line has had the disk or the console.
touchstone appraise --baseline eventlog.bin … judges a quote.
`

const EVE_PAIR = ['eve-x64-good', 'eve-x64-tampered'] as const

test(
  "log diff of EVE's good and tampered boot fits one screen and says what was done",
  {
    skip: SKIP_WITHOUT_SHARED_DATA,
  },
  async () => {
    const files = EVE_PAIR.map((name) => sharedData(`eventlogs/${name}.bin`))
    const { code, stdout } = await touchstone('log', 'diff', ...files)
    assert.equal(code, 1)
    const lines = stdout.trimEnd().split('\n')
    assert.ok(lines.length <= 40, `${lines.length} lines`)
    for (const line of lines) assert.ok(line.length <= 100, line)
    for (const shown of [
      /^PCRs in sha256: 3 of 12 differ$/,
      /^ {4}1 {2}25059565c5ce9372… {2}feacc6b56ac9b57d… {2}9 → 7 events: 1 added, 3 removed, 2 changed$/,
      /^equal {2}0 2 3 4 5 6 7 9 13$/,
      /^ {2}\+ #10 {6}Entering ROM Based Setup$/,
      /^ {2}~ #11→12 {3}BootOrder {2}0001,0003,0004,0005,0002 → 0001,0002$/,
      /^ {2}- #13 {6}Boot0003: UEFI: Generic Flash Disk 8.07, Partition 4 /,
      /^ {2}\+ #182 {5}grub_cmd: set_getty$/,
      /^ {2}~ #190→192 kernel_cmdline: … .* \{\+getty test\+\}$/,
      /^ {2}~ #209→211 \/config\/grub\.cfg {2}content-hash 15948c0ff9fb288a… → cccd9490782e12a5…$/,
      /^ {2}Someone entered the firmware’s setup, and the boot order changed: /,
      /^ {2}The kernel’s command line opens the machine: getty \(a shell at the console\)\.$/,
      /^-o wide says what to do; /,
    ]) {
      assert.ok(
        lines.some((line) => shown.test(line)),
        String(shown),
      )
    }
  },
)

test('log diff gives programs every event, with whole digests', async () => {
  const { code, stdout } = await touchstone('log', 'diff', recorded('honest'), recorded('secureboot-off'), '--json')
  assert.equal(code, 1)
  const event = z.strictObject({
    index: z.number(),
    pcr: z.number(),
    type: z.string(),
    digest: z.string().length(64),
    binding: z.string(),
    summary: z.string(),
  })
  const change = z.strictObject({
    change: z.enum(['added', 'removed', 'changed', 'moved', 'relabelled']),
    stage: z.enum(['firmware', 'boot-manager', 'boot-loader', 'operating-system']),
    kind: z.string(),
    subject: z.string(),
    bound: z.boolean(),
    before: event.optional(),
    after: event.optional(),
    fields: z.array(z.strictObject({ name: z.string(), before: z.string().nullable(), after: z.string().nullable() })),
    added: z.array(z.string()),
    removed: z.array(z.string()),
    words: z.array(z.strictObject({ in: z.enum(['both', 'before', 'after']), text: z.string() })),
  })
  const difference = z
    .strictObject({
      files: z.strictObject({ before: z.looseObject({ events: z.number() }), after: z.looseObject({}) }),
      bank: z.literal('sha256'),
      registers: z.literal('pcr'),
      same: z.literal(false),
      pcrs: z.array(
        z.strictObject({
          register: z.number(),
          name: z.string(),
          before: z.string().nullable(),
          after: z.string().nullable(),
          equal: z.boolean(),
          events: z.strictObject({ before: z.number(), after: z.number() }),
          changes: z.array(change),
        }),
      ),
      unmeasured: z.array(change),
    })
    .parse(JSON.parse(stdout))
  const secureBoot = difference.pcrs.flatMap(({ changes }) => changes).find(({ subject }) => subject === 'SecureBoot')
  assert.deepEqual(secureBoot?.fields, [{ name: 'value', before: 'on', after: 'off' }])
})

test('log diff of a log with itself is exit 0', async () => {
  const { code, stdout } = await touchstone('log', 'diff', recorded('honest'), recorded('honest'), '--bank', 'sha384')
  assert.equal(code, 0)
  assert.match(stdout, /^PCRs in sha384: all 11 are equal$/m)
})

test('log diff names the file that cannot be read, and exits 2', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'ts-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const file = join(directory, 'broken.bin')
  await writeFile(file, Buffer.alloc(40, 1))
  const { code, stderr, stdout } = await touchstone('log', 'diff', recorded('honest'), file, '--json')
  assert.equal(code, 2)
  assert.match(stderr, /^error: .*broken\.bin: .*\nhint: /)
  assert.match(stdout, /"code":"(?:decode|eventlog)\./)
})

test('log diff says of a log that contradicts itself that it does, even where all registers are equal', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'ts-'))
  t.after(() => rm(directory, { recursive: true }))
  const file = join(directory, 'edited.bin')
  const bytes = await readFile(recorded('honest'))
  bytes.write('/bin/sh', bytes.indexOf('lockdown=integrity', bytes.indexOf('kernel_cmdline: ')))
  await writeFile(file, bytes)
  const { code, stdout } = await touchstone('log', 'diff', recorded('honest'), file)
  assert.equal(code, 0)
  assert.match(stdout, /^edited\.bin contradicts itself: event 45: /m)
})

for (const [name, args] of [
  ['a bank that no log has', ['--bank', 'md5']],
  ['a bank that one log does not have', ['--bank', 'sha512']],
  ['a third file', ['x']],
] as const) {
  test(`log diff refuses ${name} with exit 2`, async () => {
    const { code } = await touchstone('log', 'diff', recorded('honest'), recorded('honest'), ...args)
    assert.equal(code, 2)
  })
}

test('log diff colours what it shows where colours are wanted', async () => {
  const before = process.env['FORCE_COLOR']
  process.env['FORCE_COLOR'] = '1'
  try {
    const { stdout } = await touchstone('log', 'diff', recorded('honest'), recorded('secureboot-off'))
    assert.match(stdout, /\u001b\[31m-\u001b\[0m #29/)
  } finally {
    if (before === undefined) delete process.env['FORCE_COLOR']
    else process.env['FORCE_COLOR'] = before
  }
})
