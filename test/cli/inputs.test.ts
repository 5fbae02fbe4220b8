import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { z } from 'zod'
import { touchstone } from './run-touchstone.ts'

// What is no evidence at all is told apart from evidence that is bad: exit 2 with a code, and never a verdict.

const ROOT = join(import.meta.dirname, '..', '..')
const fault = z.strictObject({
  error: z.strictObject({ code: z.string(), message: z.string(), hint: z.string().min(1) }),
})

describe('an input of touchstone appraise that cannot be used', () => {
  let directory = ''
  let good: Readonly<Record<string, string>> = {}
  const file = (name: string) => join(directory, name)
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ts-'))
    const examples = join(ROOT, 'policies', 'examples')
    const boot = join(ROOT, 'swtpm', 'boots', 'honest')
    const texts = await Promise.all(
      ['edge-image.yaml', 'edge-image.references.yaml'].map((name) => readFile(join(ROOT, 'policies', name), 'utf8')),
    )
    await writeFile(file('policy.yaml'), texts.join(''))
    await writeFile(file('empty'), '')
    await writeFile(file('binary'), Buffer.alloc(4096, 0xfe))
    await writeFile(file('pem'), '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n')
    await writeFile(file('large'), '')
    await truncate(file('large'), (64 << 20) + 1)
    await mkdir(file('folder'))
    good = {
      policy: file('policy.yaml'),
      ak: join(examples, 'ak.pub'),
      ek: join(examples, 'ek.pub'),
      quote: join(examples, 'honest', 'quote.msg'),
      signature: join(examples, 'honest', 'quote.sig'),
      nonce: '00112233445566778899aabbccddeeff',
      log: join(boot, 'eventlog.bin'),
      ima: join(boot, 'ima.bin'),
      pcrs: join(boot, 'pcrs.json'),
      baseline: join(boot, 'eventlog.bin'),
    }
  })
  after(() => rm(directory, { recursive: true }))

  const appraise = (changed: Readonly<Record<string, string>>) => {
    const options = Object.entries({ ...good, ...changed }).flatMap(([name, value]) => [`--${name}`, value])
    return touchstone('appraise', '--json', ...options)
  }

  test('nothing is wrong with what the others begin with', async () => {
    const { code, stdout } = await appraise({})
    assert.equal(code, 0)
    assert.equal(z.looseObject({ status: z.string() }).parse(JSON.parse(stdout)).status, 'affirming')
  })

  const cases: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    empty: {
      policy: 'policy.invalid',
      ak: 'decode.truncated',
      ek: 'decode.truncated',
      quote: 'decode.truncated',
      signature: 'decode.truncated',
      log: 'eventlog.empty',
      ima: 'usage.file',
      pcrs: 'usage.file',
      baseline: 'eventlog.empty',
    },
    folder: { policy: 'usage.file', ak: 'usage.file', log: 'usage.file', ima: 'usage.file' },
    missing: { policy: 'usage.file', ak: 'usage.file', log: 'usage.file', ima: 'usage.file' },
    large: { policy: 'usage.file', ak: 'usage.file', log: 'usage.file' },
    binary: { policy: 'usage.file', ak: 'decode.too_large', log: 'decode.truncated', ima: 'decode.too_large' },
    pem: { ak: 'ak.pem', ek: 'usage.file', policy: 'policy.invalid' },
  }
  for (const [what, codes] of Object.entries(cases)) {
    test(`${what}: exit 2, a code, what to do, and the path of the file where it is about one`, async () => {
      for (const [option, code] of Object.entries(codes)) {
        const result = await appraise({ [option]: file(what) })
        const { error } = fault.parse(JSON.parse(result.stdout))
        assert.deepEqual([result.code, error.code], [2, code], `--${option}: ${error.message}`)
        if (code === 'usage.file') assert.ok(error.message.includes(file(what)), error.message)
      }
    })
  }

  test('a set that the policy names and nobody gave is no pass, and is told with its place; given beside, it counts', async () => {
    const text = await readFile(join(ROOT, 'policies', 'edge-image.yaml'), 'utf8')
    await writeFile(file('misspelt.yaml'), text.replaceAll('edge-image-files', 'edge-image-flies'))
    const references = join(ROOT, 'policies', 'edge-image.references.yaml')
    const misspelt = await appraise({ policy: file('misspelt.yaml'), references })
    assert.equal(misspelt.code, 1)
    assert.match(
      misspelt.stderr,
      /misspelt\.yaml:\d+:\d+: warning: \S+: there is no reference set edge-image-flies; did you mean edge-image-files\?/,
    )
    const given = await appraise({ policy: join(ROOT, 'policies', 'edge-image.yaml'), references })
    assert.deepEqual([given.code, given.stderr], [0, ''])
  })

  test('a log with nothing in it is no log behind a bad signature either', async () => {
    const other = join(ROOT, 'policies', 'examples', 'cmdline', 'quote.sig')
    for (const option of ['log', 'ima']) {
      assert.equal((await appraise({ signature: other, [option]: file('empty') })).code, 2, option)
    }
  })
})
