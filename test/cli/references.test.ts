import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { readServerConfig } from '../../src/server/config.ts'
import { makeLogger } from '../../src/server/http/logging.ts'
import { databasePath, mintToken } from '../../src/server/index.ts'
import { startVerifier } from '../../src/server/serve.ts'
import { openStore, sqliteEngine } from '../../src/store/index.ts'
import { boxDirectory } from '../server/boxes.ts'
import { id, newNode } from '../store/records.ts'
import { touchstone } from './run-touchstone.ts'

const VALUE = 'ab'.repeat(32)
const SET = `apiVersion: touchstone/v1
kind: ReferenceSet
metadata: { name: images }
spec:
  provenance: { kind: vendor, source: release.iso }
  entries:
    - { value: ${VALUE}, label: release 14.2, state: candidate } # seen on box 7
    - { value: ${'cd'.repeat(32)} }
`
const exception = (rule: string, days: number) => `apiVersion: touchstone/v1
kind: PolicyException
metadata: { name: lab-keys }
spec:
  rules: [${rule}]
  nodes: { selector: { site: lab } }
  owner: ops@example.com
  reason: keys are exchanged
  expires: ${new Date(Date.now() + days * 86_400_000).toISOString()}
`
const POLICY = `apiVersion: touchstone/v1
kind: AttestationPolicy
metadata: { name: fleet }
spec: { pcrs: "sha256:0-7", secureBoot: { enabled: { is: true } } }
`

void describe('with a verifier', () => {
  const directory = boxDirectory({ after })
  const file = (name: string) => join(directory, name)
  let close: () => Promise<void>

  before(async () => {
    writeFileSync(file('verifier.yaml'), 'listen: 127.0.0.1:0\ndataDir: data\nadmission: open\nlogLevel: error\n')
    assert.equal((await touchstone('ca', 'init', '--config', file('verifier.yaml'))).code, 0)
    const store = await openStore(sqliteEngine(databasePath(file('data'))), 0)
    const { token, record } = mintToken('alice', 'operator', 0, randomBytes)
    await store.tokens.insert(record)
    await store.nodes.insert(newNode(1), 1)
    await store.close()
    writeFileSync(file('token'), token, { mode: 0o600 })
    writeFileSync(file('root.pem'), (await touchstone('ca', 'show', '--root', '--data-dir', file('data'))).stdout)
    const verifier = await startVerifier(
      await readServerConfig(file('verifier.yaml')),
      makeLogger('error', { write: () => undefined }),
    )
    close = () => verifier.close()
    process.env['TOUCHSTONE_URL'] = verifier.url
    process.env['TOUCHSTONE_CA'] = file('root.pem')
    process.env['TOUCHSTONE_TOKEN_FILE'] = file('token')
  })
  after(() => close())

  const apply = (text: string, ...more: readonly string[]) => {
    writeFileSync(file('document.yaml'), text)
    return touchstone('apply', '-f', file('document.yaml'), ...more)
  }

  test('a value is promoted with a reason, and its history says by whom and why', async () => {
    assert.equal((await apply(`${POLICY}---\n${SET}`, '--reason', 'first list')).code, 0)
    const promote = ['reference', 'promote', 'images', '--label', 'release 14.2', '--to', 'canary'] as const
    const draft = await touchstone(...promote, '--percentage', '10', '--reason', 'lab is fine', '--dry-run')
    assert.match(draft.stdout, /state: canary, since: \S+, canary: \{ percentage: 10 \} \} # seen on box 7/)
    const done = await touchstone(...promote, '--percentage', '10', '--selector', 'site=lab', '--reason', 'lab is fine')
    assert.equal(done.stdout.split('\n')[0], '1 entry of images is canary now (revision 2)')
    const again = await touchstone('reference', 'promote', 'images', VALUE, '--to', 'canary', '--reason', 'x')
    assert.match(again.stdout, /^nothing to do/)
    const { stdout } = await touchstone('reference', 'history', 'images')
    const shape =
      /^revision 2, \S+ by token:alice\n {4}lab is fine\n {4}candidate → canary 10 % {2}release 14\.2 \(abab/
    assert.match(stdout, shape)
    assert.match(stdout, /\nrevision 1, \S+ by token:alice\n {4}first list\n {4}new → candidate/)
    const listed = await touchstone('get', 'references', '-o', 'wide')
    assert.match(
      listed.stdout,
      /^NAME +REVISION +SOURCE +AGE +VALUES +FROM +DIGEST\nimages +2 .*1 canary, 1 active +vendor release\.iso/,
    )
  })

  test('what is wrong with a promotion is said with what to do', async () => {
    await apply(SET)
    const promote = (...args: readonly string[]) => touchstone('reference', 'promote', 'images', ...args)
    for (const [args, code, said] of [
      [['--to', 'active', '--reason', 'x'], 2, /--all/],
      [[VALUE, '--to', 'gone', '--reason', 'x'], 2, /Allowed choices/],
      [[VALUE, '--to', 'active'], 2, /--reason/],
      [[VALUE, '--to', 'canary', '--percentage', '101', '--reason', 'x'], 2, /0 to 100/],
      [[VALUE, '--to', 'deprecated', '--until', 'soon', '--reason', 'x'], 2, /2027-01-31/],
      [['ef', '--to', 'active', '--reason', 'x'], 1, /hint: .*get references NAME -o yaml/],
    ] as const) {
      const { code: exit, stderr } = await promote(...args)
      assert.equal(exit, code, args.join(' '))
      assert.match(stderr, said)
    }
  })

  test('exceptions are listed with owner and end, and doubted where they excuse nothing', async () => {
    await apply(POLICY)
    assert.match(
      (await apply(exception('secureBoot.enabeld', 30))).stderr,
      /warning: .*did you mean secureBoot\.enabled\?/,
    )
    assert.equal((await apply(exception('secureBoot.enabled', 30))).stderr, '')
    const { stdout } = await touchstone('get', 'exceptions')
    assert.match(
      stdout,
      /^NAME +STATE +RULES +NODES +OWNER +EXPIRES\nlab-keys +live +\*\/secureBoot\.enabled +site=lab +ops@example\.com +\S+ \((?:29|30)d\)/,
    )
    const refused = await apply(exception('secureBoot.enabled', 91))
    assert.equal(refused.code, 2)
    assert.match(refused.stderr, /at most 90 days/)
  })

  test('an exception is shown with what it excuses, and ended with a reason', async () => {
    await apply(POLICY)
    await apply(exception('secureBoot.enabled', 30))
    await touchstone('label', 'node', id(1), 'site=lab')
    const shown = await touchstone('exception', 'show', 'lab-keys')
    assert.match(
      shown.stdout,
      /^Exception +lab-keys \(live\)\nOwner +ops@example\.com\nReason +keys are exchanged\nUntil +20/,
    )
    assert.match(shown.stdout, /None of 1 node that it concerns fails these rules/)
    const ended = await touchstone('exception', 'end', 'lab-keys', '--reason', 'done')
    assert.match(ended.stdout, /^lab-keys is over now \(revision \d+\)/)
    assert.match((await touchstone('exception', 'end', 'lab-keys', '--reason', 'again')).stdout, /^nothing to do/)
    assert.match((await touchstone('exception', 'show', 'lab-keys')).stdout, /^Exception +lab-keys \(over\)/)
    const { stdout } = await touchstone('reference', 'history', 'lab-keys', '--kind', 'exceptions')
    assert.match(stdout, /^revision \d+, \S+ by token:alice\n {4}done\n/)
    const unknown = await touchstone('exception', 'end', 'lab-kyes', '--reason', 'x')
    assert.deepEqual([unknown.code, unknown.stderr.includes('resource.not_found')], [1, true])
    assert.equal((await touchstone('exception', 'end', 'lab-keys')).code, 2)
  })

  test('labels of a node are set and taken away', async () => {
    const label = (...labels: readonly string[]) => touchstone('label', 'node', id(1), ...labels)
    assert.equal((await label('ring=one', 'site-')).stdout, `${id(1)} has ring=one\n`)
    assert.equal((await label('ring-')).stdout, `${id(1)} has no labels\n`)
    assert.equal((await label('=x')).code, 2)
    const { stdout } = await touchstone('describe', 'node', id(1))
    assert.doesNotMatch(stdout, /Labels/)
    await label('site=north')
    assert.match((await touchstone('describe', 'node', id(1))).stdout, /^Labels +site=north$/m)
  })
})
