import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { isTouchstoneError } from '../../src/core/index.ts'
import { readAgentConfig } from '../../src/agent/index.ts'
import { makeRoot } from './fake-verifier.ts'

async function folder(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'touchstone-test-config-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  await writeFile(join(directory, 'root.pem'), await makeRoot())
  return directory
}

async function read(directory: string, lines: readonly string[]) {
  const file = join(directory, 'node.yaml')
  await writeFile(file, `${lines.join('\n')}\n`)
  return await readAgentConfig(file)
}

const good = ['verifier: https://verifier.example:8443/', 'trustAnchor: root.pem', 'model: Edge 100', 'serial: 0012']

async function faultsOf(t: TestContext, lines: readonly string[]): Promise<string> {
  const directory = await folder(t)
  try {
    await read(directory, lines)
  } catch (error) {
    assert.ok(isTouchstoneError(error, 'agent.config'))
    return error.message
  }
  assert.fail('no fault')
}

test('four keys are enough, and what is written stays text', async (t) => {
  const directory = await folder(t)
  const { anchors, ...config } = await read(directory, good)
  assert.equal(anchors.length, 1)
  assert.deepEqual(config, {
    verifier: 'https://verifier.example:8443',
    stateDir: '/var/lib/touchstone-node',
    tcti: 'device:/dev/tpmrm0',
    eventLog: '/sys/kernel/security/tpm0/binary_bios_measurements',
    userspaceLog: '/run/log/systemd/tpm2-measure.log',
    model: 'Edge 100',
    serial: '0012',
  })
})

test('paths are relative to the file that names them', async (t) => {
  const directory = await folder(t)
  await mkdir(join(directory, 'x'))
  const config = await read(directory, [...good, 'stateDir: state', 'imaLog: x/ima', 'eventLog: /abs', 'interval: 30'])
  assert.equal(config.stateDir, join(directory, 'state'))
  assert.equal(config.imaLog, join(directory, 'x', 'ima'))
  assert.equal(config.eventLog, '/abs')
  assert.equal(config.interval, 30)
})

test('the log of systemd belongs to the TPM of the machine: with another event log it is only read where it is named', async (t) => {
  const directory = await folder(t)
  assert.equal((await read(directory, [...good, 'eventLog: other.bin'])).userspaceLog, undefined)
  const named = await read(directory, [...good, 'eventLog: other.bin', 'userspaceLog: measure.log'])
  assert.equal(named.userspaceLog, join(directory, 'measure.log'))
})

test('every fault is reported at once', async (t) => {
  const message = await faultsOf(t, [
    'verifier: http://verifier.example',
    'trustAnchor: missing.pem',
    `stateDir: ${'x'.repeat(200)}`,
    'tcti: mssim',
    'model: "  "',
    'serial: 1',
    'interval: soon',
    'ek: L-9',
    'colour: blue',
  ])
  for (const key of ['verifier', 'trustAnchor', 'stateDir', 'tcti', 'model', 'interval', 'ek', 'colour']) {
    assert.ok(message.includes(key), key)
  }
})

for (const [what, lines] of [
  ['a URL that is not https', ['verifier: http://a.example']],
  ['a URL with credentials', ['verifier: https://me:secret@a.example']],
  ['a URL with a query', ['verifier: https://a.example/?x=1']],
  ['an alias', ['verifier: &v https://a.example', 'tcti: *v']],
  ['a tag', ['verifier: !!str https://a.example']],
  ['a repeated key', ['verifier: https://a.example', 'verifier: https://b.example']],
  ['a list', ['- verifier']],
  ['nothing', []],
  ['an interval of zero', ['verifier: https://a.example', 'interval: 0']],
] as const) {
  test(`refuses ${what}`, async (t) => {
    await faultsOf(t, [...lines, ...(lines.length === 0 || what === 'a list' ? [] : good.slice(1))])
  })
}

test('a missing file is a fault like any other', async () => {
  await assert.rejects(readAgentConfig('/nonexistent/node.yaml'), { code: 'agent.config' })
})
