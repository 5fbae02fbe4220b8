import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { z } from 'zod'
import { release } from '../../src/wire/index.ts'
import { touchstone } from './run-touchstone.ts'

const recorded = join(import.meta.dirname, '..', '..', 'swtpm', 'boots')
const errorBody = z.object({ error: z.object({ code: z.string() }) })

describe('releases, signed and shown offline', () => {
  let directory = ''
  const path = (name: string) => join(directory, name)
  const arguments_ = (more: Readonly<Record<string, string>> = {}) =>
    Object.entries({
      key: path('release.pem'),
      'node-ref': 'ab'.repeat(32),
      'counter-name': `000b${'cd'.repeat(32)}`,
      pcrs: path('pcrs.json'),
      release: '7',
      ...more,
    }).flatMap(([name, value]) => [`--${name}`, value])

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ts-'))
    const generate = ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', path('release.pem')]
    execFileSync('openssl', generate, { stdio: 'ignore' })
    execFileSync('openssl', ['pkey', '-in', path('release.pem'), '-pubout', '-out', path('release.pub')])
    const { stdout } = await touchstone('log', 'show', join(recorded, 'honest', 'eventlog.bin'), '--json')
    await writeFile(path('pcrs.json'), stdout)
  })
  after(() => rm(directory, { recursive: true, force: true }))

  test('a release is signed from an event log, and shows as good under the public key', async () => {
    const signed = await touchstone('release', 'sign', ...arguments_({ description: 'EVE 13.4', out: path('7.json') }))
    assert.equal(signed.code, 0, signed.stderr)
    const made = release.parse(JSON.parse(await readFile(path('7.json'), 'utf8')))
    assert.deepEqual([made.release, made.pcrs, made.description], [7, 'sha256:0,2,4,7', 'EVE 13.4'])
    const shown = await touchstone('release', 'show', path('7.json'), '--key', path('release.pub'))
    assert.equal(shown.code, 0, shown.stderr)
    assert.match(shown.stdout, /Signature +good/)
    const json = await touchstone('release', 'show', path('7.json'), '--json')
    assert.deepEqual(release.parse(JSON.parse(json.stdout)), made)
  })

  test('without --out the release is what the command answers', async () => {
    const { stdout } = await touchstone('release', 'sign', ...arguments_({ select: 'sha256:7' }))
    assert.equal(release.parse(JSON.parse(stdout)).pcrs, 'sha256:7')
  })

  test('a release that was changed, or that another key signed, is exit 1', async () => {
    const { stdout } = await touchstone('release', 'sign', ...arguments_())
    await writeFile(path('changed.json'), stdout.replace('"release": 7', '"release": 8'))
    const changed = await touchstone('release', 'show', path('changed.json'), '--json')
    assert.equal(changed.code, 1)
    assert.equal(errorBody.parse(JSON.parse(changed.stdout)).error.code, 'release.policy')
    await writeFile(path('good.json'), stdout)
    execFileSync(
      'openssl',
      ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', path('x.pem')],
      {
        stdio: 'ignore',
      },
    )
    const other = await touchstone('release', 'show', path('good.json'), '--key', path('x.pem'), '--json')
    assert.equal(other.code, 1)
    assert.equal(errorBody.parse(JSON.parse(other.stdout)).error.code, 'release.key')
  })

  for (const [what, more] of [
    ['a register that the file does not have', { select: 'sha256:23' }],
    ['a reference that is no digest', { 'node-ref': 'ab' }],
    ['a number that is none', { release: '0' }],
    ['a file that is not there', { pcrs: '/nowhere' }],
    ['a key that is none', { key: join(recorded, 'honest', 'eventlog.bin') }],
    ['a selection that cannot be read', { select: 'sha256' }],
  ] as const) {
    test(`${what} is exit 2`, async () => {
      assert.equal((await touchstone('release', 'sign', ...arguments_(more))).code, 2)
    })
  }
})
