import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { z } from 'zod'
import { touchstone } from './run-touchstone.ts'

const recorded = join(import.meta.dirname, '..', '..', 'swtpm', 'boots')
const errorBody = z.strictObject({ error: z.strictObject({ code: z.string(), message: z.string(), hint: z.string() }) })

async function scratch(t: { after(work: () => Promise<void>): void }): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ts-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

test('log show describes a recorded boot as the contract says', async () => {
  const { code, stdout } = await touchstone('log', 'show', join(recorded, 'honest', 'eventlog.bin'), '--json')
  assert.equal(code, 0)
  const log = z
    .strictObject({
      format: z.string(),
      registers: z.string(),
      banks: z.array(z.string()),
      events: z.array(
        z.strictObject({
          index: z.number(),
          pcr: z.number(),
          type: z.string(),
          digests: z.record(z.string(), z.string()),
          binding: z.enum(['bound', 'mismatch', 'unbound', 'none']),
          summary: z.string(),
        }),
      ),
      pcrs: z.record(z.string(), z.record(z.string(), z.string())),
      boot: z.looseObject({ secureBoot: z.looseObject({ enabled: z.looseObject({ value: z.boolean() }) }) }),
      findings: z.array(
        z.looseObject({ code: z.string(), severity: z.enum(['info', 'warning', 'error']), message: z.string() }),
      ),
    })
    .parse(JSON.parse(stdout))
  assert.deepEqual([log.format, log.registers, log.banks], ['tcg2', 'pcr', ['sha1', 'sha256', 'sha384']])
  assert.equal(log.events[0]?.type, 'EV_NO_ACTION')
  assert.equal(log.boot.secureBoot.enabled.value, true)
})

test('log show for people begins with the boot, stage by stage, on one screen', async () => {
  const { stdout } = await touchstone('log', 'show', join(recorded, 'cmdline', 'eventlog.bin'))
  const picture = stdout.slice(0, stdout.indexOf('CONTENT')).split('\n')
  assert.ok(picture.length < 50)
  const stages = ['Firmware', 'Secure Boot', 'Boot path', 'Boot loader', 'Kernel']
  assert.deepEqual(
    picture.flatMap((line) => stages.filter((stage) => line.startsWith(stage))),
    stages,
  )
  const whole = picture.join('\n')
  assert.match(whole, /^Secure Boot +state +on$/m)
  assert.match(whole, /^Kernel +command line +\/boot\/vmlinuz[^~]*init=\/bin\/sh/m)
  assert.match(whole, / ~ .*BOOTX64\.EFI$/m)
  assert.match(whole, / \? .*debugger/)
  assert.match(whole, /~ only said/)
})

test('a file that is no event log is exit 2 with a coded error and a hint', async (t) => {
  const file = join(await scratch(t), 'log')
  await writeFile(file, 'not a log')
  const { code, stdout, stderr } = await touchstone('log', 'show', file, '--json')
  assert.equal(code, 2)
  assert.match(errorBody.parse(JSON.parse(stdout)).error.code, /^(?:eventlog|decode)\./)
  assert.match(stderr, /^error: .*\nhint: /)
})

const USAGE = [
  ['log', 'show'],
  ['frobnicate'],
  ['appraise', '--json'],
  ['get', 'nodes', '-o', 'xml'],
  ['serve'],
] as const
for (const args of USAGE) {
  test(`"touchstone ${args.join(' ')}" is a usage error: exit 2`, async () => {
    assert.equal((await touchstone(...args)).code, 2)
  })
}

test('policy learn prints a policy that policy check accepts', async (t) => {
  const file = join(await scratch(t), 'policy.yaml')
  const learned = await touchstone('policy', 'learn', '--from', join(recorded, 'honest', 'eventlog.bin'))
  await writeFile(file, learned.stdout)
  const checked = await touchstone('policy', 'check', file)
  assert.equal(checked.code, 0, checked.stderr)
  assert.match(learned.stdout, /pcrs: sha256:0-15/)
})

test('policy check says which word was meant, and which set nobody has', async (t) => {
  const folder = await scratch(t)
  const head = 'apiVersion: touchstone/v1\nkind: AttestationPolicy\nmetadata: { name: a }\nspec:\n  pcrs: sha256:0-15\n'
  const misspelt = join(folder, 'misspelt.yaml')
  await writeFile(misspelt, `${head}  secureBoot: { enabeld: { is: true } }\n`)
  const first = await touchstone('policy', 'check', misspelt)
  assert.equal(first.code, 2)
  assert.match(first.stderr, /misspelt\.yaml:6:17: spec\.secureBoot\.enabeld: unknown field; did you mean enabled\?/)
  const alone = join(folder, 'alone.yaml')
  await writeFile(alone, `${head}  secureBoot: { dbx: { references: [dbx] } }\n`)
  const second = await touchstone('policy', 'check', alone)
  assert.equal(second.code, 2)
  assert.match(second.stderr, /alone\.yaml:6:37: .* none of these files has a reference set dbx/)
  const partial = await touchstone('policy', 'check', '--partial', '--json', alone)
  assert.equal(partial.code, 0)
  assert.match(partial.stdout, /"severity":"warning"/)
})

test('policy schema prints what policies/schema has', async () => {
  const { code, stdout } = await touchstone('policy', 'schema', 'ReferenceSet')
  assert.equal(code, 0)
  const file = join(import.meta.dirname, '..', '..', 'policies', 'schema', 'ReferenceSet.json')
  assert.equal(stdout.trim(), (await readFile(file, 'utf8')).trim())
  assert.equal((await touchstone('policy', 'schema', 'Pod')).code, 2)
})

test('policy check names every fault with line and column, and exits 2', async (t) => {
  const file = join(await scratch(t), 'policy.yaml')
  await writeFile(
    file,
    'apiVersion: touchstone/v1\nkind: AttestationPolicy\nmetadata: { name: x }\nspec:\n  pcrs: sha256:0-99\n  colour: red\n',
  )
  const { code, stderr } = await touchstone('policy', 'check', file)
  assert.equal(code, 2)
  assert.match(stderr, /policy\.yaml:5:\d+: spec\.pcrs/)
  assert.match(stderr, /policy\.yaml:6:\d+: spec\.colour|policy\.yaml:6:\d+: .*colour/)
})

test('ca init makes keys of mode 0600 and refuses to make them twice', async (t) => {
  const dataDir = join(await scratch(t), 'data')
  assert.equal((await touchstone('ca', 'init', '--data-dir', dataDir)).code, 0)
  for (const name of await readdir(join(dataDir, 'ca'))) {
    assert.equal((await stat(join(dataDir, 'ca', name))).mode & 0o777, 0o600, name)
  }
  const again = await touchstone('ca', 'init', '--data-dir', dataDir, '--json')
  assert.equal(again.code, 1)
  assert.equal(errorBody.parse(JSON.parse(again.stdout)).error.code, 'ca.exists')
})

test('the configuration names the data directory as well', async (t) => {
  const directory = await scratch(t)
  const config = join(directory, 'verifier.yaml')
  await writeFile(config, 'dataDir: data\nadmission: open\npassphraseFile: secret\n')
  const made = await touchstone('ca', 'init', '--config', config, '--json')
  assert.equal(made.code, 0, made.stderr)
  assert.equal((await stat(join(directory, 'secret'))).mode & 0o777, 0o600)
  assert.match((await touchstone('ca', 'show', '--root', '--config', config)).stdout, /^-----BEGIN CERTIFICATE-----/)
  assert.match((await touchstone('token', 'create', 'carol', '--config', config)).stdout, /^touchstone_/)
  assert.equal((await touchstone('token', 'list')).code, 2)
})

test('tokens are shown once, listed without their secret, and revoked', async (t) => {
  const dataDir = join(await scratch(t), 'data')
  await touchstone('ca', 'init', '--data-dir', dataDir)
  const made = await touchstone('token', 'create', 'alice', '--role', 'operator', '--data-dir', dataDir)
  assert.match(made.stdout, /^touchstone_\S+\n$/)
  const listed = await touchstone('token', 'list', '--data-dir', dataDir, '-o', 'json')
  assert.ok(!listed.stdout.includes(secretOf(made.stdout.trim())))
  assert.match(listed.stdout, /"name":"alice","role":"operator"/)
  assert.equal((await touchstone('token', 'create', 'alice', '--data-dir', dataDir)).code, 1)
  assert.equal((await touchstone('token', 'revoke', 'alice', '--data-dir', dataDir)).code, 0)
  assert.equal((await touchstone('token', 'revoke', 'alice', '--data-dir', dataDir)).code, 1)
})

test('an operator command without its environment says which variable is missing', async () => {
  const { code, stderr } = await touchstone('get', 'nodes')
  assert.equal(code, 2)
  assert.match(stderr, /TOUCHSTONE_URL is not set/)
})

/** A token is a word, an id and a secret in base64url, which may hold the separator itself. */
function secretOf(token: string): string {
  const secret = token.split('_').slice(2).join('_')
  assert.ok(secret.length > 20)
  return secret
}
