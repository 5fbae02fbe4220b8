import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { z } from 'zod'
import { verdictExplanation } from '../../src/wire/index.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { touchstone, type CommandResult } from './run-touchstone.ts'

const NONCE = '00112233445566778899aabbccddeeff'

const verdict = z.strictObject({
  status: z.string(),
  vector: z.record(z.string(), z.number()),
  checks: z.array(
    z.looseObject({ check: z.string(), rule: z.string().optional(), outcome: z.string(), code: z.string().optional() }),
  ),
})

function failed({ stdout }: CommandResult): readonly string[] {
  return verdict
    .parse(JSON.parse(stdout))
    .checks.filter(({ outcome }) => outcome === 'fail')
    .map(({ check, rule }) => rule ?? check)
}

describe('touchstone appraise, on the evidence of another machine', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  let directory = ''
  let policy = ''
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ts-'))
    policy = join(directory, 'policy.yaml')
    const learned = await touchstone('policy', 'learn', '--from', boot('secure-boot', 'eventlog.bin'))
    await writeFile(policy, learned.stdout)
  })
  after(() => rm(directory, { recursive: true }))

  const boot = (name: string, file: string) => sharedData(`qemu-ovmf/${name}/${file}`)
  const evidence = (name: string): Record<string, string> => ({
    policy,
    ak: boot(name, 'ak.pub'),
    quote: boot(name, 'quote.msg'),
    signature: boot(name, 'quote.sig'),
    nonce: NONCE,
    log: boot(name, 'eventlog.bin'),
    ima: boot(name, 'ima.bin'),
  })
  const appraise = (options: Record<string, string>) =>
    touchstone('appraise', '--json', ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]))
  const changed = async (file: string, change: (bytes: Buffer) => Buffer) => {
    const path = join(directory, 'changed.bin')
    await writeFile(path, change(await readFile(file)))
    return path
  }

  test('the boot that the policy was learned from is affirming', async () => {
    const result = await appraise(evidence('secure-boot'))
    assert.equal(result.code, 0, result.stderr)
    assert.equal(verdict.parse(JSON.parse(result.stdout)).status, 'affirming')
  })

  test('with the EK that the AK is a child of, its qualified Name is checked and holds', async () => {
    const result = await appraise({ ...evidence('secure-boot'), ek: boot('secure-boot', 'ek.pub') })
    const { checks } = verdict.parse(JSON.parse(result.stdout))
    assert.equal(checks.find(({ check }) => check === 'ak.qualified-name')?.outcome, 'pass')
  })

  test('an EK may be given by its certificate or its PEM: the templates of the TCG make the Name', async () => {
    const certificate = boot('secure-boot', 'ek.crt')
    const pem = await changed(certificate, (der) =>
      Buffer.from(new X509Certificate(der).publicKey.export({ type: 'spki', format: 'pem' })),
    )
    for (const [ek, outcome] of [
      [certificate, 'pass'],
      [pem, 'pass'],
      [boot('direct-kernel', 'ek.crt'), 'fail'],
    ] as const) {
      const { checks } = verdict.parse(JSON.parse((await appraise({ ...evidence('secure-boot'), ek })).stdout))
      assert.equal(checks.find(({ check }) => check === 'ak.qualified-name')?.outcome, outcome)
    }
  })

  test('a boot without Secure Boot and without keys is contraindicated in configuration', async () => {
    const result = await appraise(evidence('direct-kernel'))
    assert.equal(result.code, 1)
    const { status, vector } = verdict.parse(JSON.parse(result.stdout))
    assert.equal(status, 'contraindicated')
    assert.ok((vector['configuration'] ?? 0) >= 96)
  })

  test('a PEM shows no attributes, so the best status is warning', async () => {
    const result = await appraise({ ...evidence('secure-boot'), ak: boot('secure-boot', 'ak.pem') })
    assert.equal(result.code, 0)
    const { status, checks } = verdict.parse(JSON.parse(result.stdout))
    assert.equal(status, 'warning')
    assert.equal(checks.find(({ check }) => check === 'ak.attributes')?.outcome, 'warn')
  })

  test('another nonce is a failed check', async () => {
    const result = await appraise({ ...evidence('secure-boot'), nonce: 'ff'.repeat(16) })
    assert.equal(result.code, 1)
    assert.ok(failed(result).includes('quote.nonce'))
  })

  test('a quote of fewer registers than were asked for is a failed check', async () => {
    const result = await appraise({ ...evidence('secure-boot'), select: 'sha256:0-15+sha1:0' })
    assert.equal(result.code, 1)
    assert.ok(failed(result).includes('quote.selection'))
  })

  test('without the IMA log the quote does not add up, and nothing says that it does', async () => {
    const { ima: _ima, ...rest } = evidence('secure-boot')
    const result = await appraise(rest)
    assert.equal(result.code, 1)
    assert.ok(failed(result).includes('quote.digest'))
  })

  test('registers that hash to the signed digest name where an edited log disagrees', async () => {
    const log = await changed(boot('secure-boot', 'eventlog.bin'), (bytes) => {
      // The SHA-256 digest of one GRUB event.
      const at = bytes.indexOf(Buffer.from('grub_cmd: set timeout=0')) - 4 - 32
      bytes[at] = (bytes[at] ?? 0) ^ 1
      return bytes
    })
    const text = await readFile(boot('secure-boot', 'pcrs.txt'), 'utf8')
    const sha256: Record<string, string> = Object.fromEntries(
      [...text.matchAll(/^sha256:(\d+)=([0-9A-Fa-f]+)$/gm)].map(([, pcr, value]) => [
        pcr ?? '',
        value?.toLowerCase() ?? '',
      ]),
    )
    const pcrs = join(directory, 'pcrs.json')
    await writeFile(pcrs, JSON.stringify({ sha256 }))
    const result = await appraise({ ...evidence('secure-boot'), log, pcrs })
    const check = verdict.parse(JSON.parse(result.stdout)).checks.find((each) => each.check === 'quote.digest')
    const actual = z.object({ pcrs: z.object({ sha256: z.record(z.string(), z.string()) }) }).parse(check?.['actual'])
    assert.deepEqual(Object.keys(actual.pcrs.sha256), ['8'])
  })

  const UNREADABLE = [
    {
      title: 'an empty quote',
      option: 'quote',
      file: 'quote.msg',
      change: () => Buffer.alloc(0),
      code: 'decode.truncated',
    },
    {
      title: 'a quote that was cut',
      option: 'quote',
      file: 'quote.msg',
      change: (bytes: Buffer) => bytes.subarray(0, -1),
      code: 'decode.truncated',
    },
    {
      title: 'a quote with a byte too many',
      option: 'quote',
      file: 'quote.msg',
      change: (bytes: Buffer) => Buffer.concat([bytes, Buffer.of(0)]),
      code: 'decode.trailing',
    },
    {
      title: 'an empty signature',
      option: 'signature',
      file: 'quote.sig',
      change: () => Buffer.alloc(0),
      code: 'decode.truncated',
    },
    {
      title: 'an AK with a byte too many',
      option: 'ak',
      file: 'ak.pub',
      change: (bytes: Buffer) => Buffer.concat([bytes, Buffer.of(0)]),
      code: 'decode.trailing',
    },
    {
      title: 'an empty event log',
      option: 'log',
      file: 'eventlog.bin',
      change: () => Buffer.alloc(0),
      code: 'eventlog.empty',
    },
  ] as const
  for (const { title, option, file, change, code } of UNREADABLE) {
    test(`${title} cannot be used: exit 2 and a coded error on stdout`, async () => {
      const result = await appraise({
        ...evidence('secure-boot'),
        [option]: await changed(boot('secure-boot', file), change),
      })
      assert.equal(result.code, 2, result.stdout)
      const { error } = z
        .strictObject({ error: z.strictObject({ code: z.string(), message: z.string(), hint: z.string() }) })
        .parse(JSON.parse(result.stdout))
      assert.equal(error.code, code)
    })
  }

  test('what cannot be decoded is named by its file, and by what belongs there', async () => {
    for (const [option, file] of [
      ['ak', 'ak.pub'],
      ['ek', 'ek.pub'],
      ['quote', 'quote.msg'],
      ['signature', 'quote.sig'],
      ['log', 'eventlog.bin'],
    ] as const) {
      const cut = await changed(boot('secure-boot', file), (bytes) => bytes.subarray(0, -1))
      const { code, stdout } = await appraise({ ...evidence('secure-boot'), [option]: cut })
      assert.equal(code, 2)
      assert.match(stdout, /changed\.bin: /)
      if (option !== 'ek') assert.match(stdout, new RegExp(`--${option} takes `))
    }
  })

  test('attributes that no key may have are a failed check, not a file that cannot be read', async () => {
    const ak = await changed(boot('secure-boot', 'ak.pub'), (bytes) => {
      bytes[6] = (bytes[6] ?? 0) | 0x80
      return bytes
    })
    const result = await appraise({ ...evidence('secure-boot'), ak })
    assert.equal(result.code, 1, result.stdout)
    assert.ok(failed(result).includes('ak.attributes'))
  })

  test('a PEM is one behind a byte order mark and an empty line, too', async () => {
    const ak = await changed(boot('secure-boot', 'ak.pem'), (bytes) =>
      Buffer.concat([Buffer.from('\ufeff\n', 'utf8'), bytes]),
    )
    assert.equal((await appraise({ ...evidence('secure-boot'), ak })).code, 0)
  })

  test('a day that its month does not have is refused', async () => {
    const { code, stdout } = await appraise({ ...evidence('secure-boot'), at: '2026-02-30T00:00:00Z' })
    assert.equal(code, 2)
    assert.match(stdout, /usage\.arguments/)
  })

  const WRONG = [
    { title: 'another magic', at: 0, check: 'quote.magic' },
    { title: 'another type', at: 5, check: 'quote.type' },
  ] as const
  for (const { title, at, check } of WRONG) {
    test(`${title} decodes and is wrong: exit 1 and a failed check`, async () => {
      const quote = await changed(boot('secure-boot', 'quote.msg'), (bytes) => {
        bytes[at] = (bytes[at] ?? 0) ^ 0x01
        return bytes
      })
      const result = await appraise({ ...evidence('secure-boot'), quote })
      assert.equal(result.code, 1, result.stdout)
      assert.ok(failed(result).includes(check))
    })
  }

  test('people get the likely cause and what to do, every failure, and what passed in a few lines', async () => {
    const { stdout } = await touchstone(
      'appraise',
      ...Object.entries(evidence('direct-kernel')).flatMap(([name, value]) => [`--${name}`, value]),
    )
    assert.match(stdout, /^contraindicated\n/)
    assert.match(stdout, /Secure Boot is off: .*\n {2}next /)
    assert.match(stdout, /✗ secureBoot\.enabled \(learned\): .*← cause \d\n {4}at +event 4 \(PCR 7,/)
    assert.match(stdout, /^✓ \d+ passed: .*quote\.signature/m)
    assert.match(stdout, /--baseline good\.bin/)
  })

  test('with a baseline the answer has the likely causes beside the verdict', async () => {
    const baseline = boot('secure-boot', 'eventlog.bin')
    const result = await appraise({ ...evidence('direct-kernel'), baseline })
    assert.equal(result.code, 1)
    const answer = verdictExplanation.and(verdict.loose()).parse(JSON.parse(result.stdout))
    assert.equal(answer.status, 'contraindicated')
    assert.ok(answer.causes.some(({ id }) => id === 'secure-boot.keys-cleared'))
    assert.ok(answer.failures.every(({ next }) => next !== ''))
    assert.equal(answer.differences?.same, false)
  })

  test('a boot with itself as baseline has no causes', async () => {
    const baseline = boot('secure-boot', 'eventlog.bin')
    const result = await appraise({ ...evidence('secure-boot'), baseline })
    const { causes, failures } = verdictExplanation.parse(JSON.parse(result.stdout))
    assert.deepEqual({ causes, failures }, { causes: [], failures: [] })
  })

  test('a baseline that cannot be read is a mistake of whoever gave it', async () => {
    const result = await appraise({ ...evidence('secure-boot'), baseline: policy })
    assert.equal(result.code, 2)
    assert.match(result.stdout, /policy\.yaml: /)
  })
})
