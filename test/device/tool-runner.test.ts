import assert from 'node:assert/strict'
import test from 'node:test'
import { execa } from 'execa'
import { createEk, openTpmTools, openTransport, readHandles, type TpmTools } from '../../src/device/index.ts'
import { toolError } from '../../src/device/tool-error.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import { fakeTpm, response } from './fake-tpm.ts'

const GET_CAPABILITY = 0x17a

/** A real TPM behind one that answers `rc` to its first `times` commands of that code. */
async function moodyTpm(t: Parameters<typeof fakeTpm>[0], rc: number, times: number, code = GET_CAPABILITY) {
  const real = await freshTpm()
  t.after(() => real.close())
  let left = times
  return await fakeTpm(t, async (command) => {
    if (command.readUInt32BE(6) === code && left > 0) {
      left -= 1
      return response(rc)
    }
    const transport = await openTransport(real.tcti)
    try {
      return await transport.send(command)
    } finally {
      await transport.close()
    }
  })
}

async function patientTools(t: Parameters<typeof fakeTpm>[0], tcti: string) {
  const waits: number[] = []
  const wait = (ms: number) => Promise.resolve(waits.push(ms))
  const tools: TpmTools = await openTpmTools(tcti, { wait })
  t.after(() => tools.close())
  return { tools, waits }
}

// The first three are sent again by tpm2-tss itself, up to five times, before the tool fails.
for (const [name, rc, times] of [
  ['TPM_RC_RETRY', 0x922, 11],
  ['TPM_RC_YIELDED', 0x908, 11],
  ['TPM_RC_TESTING', 0x90a, 11],
  ['TPM_RC_NV_RATE', 0x920, 3],
] as const) {
  test(`${name} is waited out`, async (t) => {
    const tpm = await moodyTpm(t, rc, times)
    const { tools, waits } = await patientTools(t, tpm.tcti)
    assert.deepEqual(await readHandles(tools, 'transient'), [])
    assert.ok(waits.length > 0)
    assert.deepEqual(
      waits,
      [...waits].sort((a, b) => a - b),
    )
  })
}

test('a TPM that never stops asking for patience is given up', async (t) => {
  const tpm = await moodyTpm(t, 0x922, Infinity)
  const { tools, waits } = await patientTools(t, tpm.tcti)
  await assert.rejects(readHandles(tools, 'transient'), {
    code: 'device.tpm',
    details: { tool: 'tpm2_getcap', rc: 0x922, name: 'TPM_RC_RETRY' },
  })
  assert.equal(waits.length, 8)
})

for (const [name, rc] of [
  ['TPM_RC_LOCKOUT', 0x921],
  ['TPM_RC_FAILURE', 0x101],
] as const) {
  test(`${name} is never tried again`, async (t) => {
    const tpm = await moodyTpm(t, rc, Infinity)
    const { tools, waits } = await patientTools(t, tpm.tcti)
    await assert.rejects(readHandles(tools, 'transient'), { code: 'device.tpm' })
    assert.deepEqual(waits, [])
  })
}

test('what a killed process left in the slots is flushed, and the operation succeeds', async (t) => {
  const tpm = await freshTpm()
  t.after(() => tpm.close())
  // Three objects that nobody flushes: as many as fit.
  const env = { TPM2TOOLS_TCTI: tpm.tcti }
  for (const name of ['a', 'b', 'c']) {
    await execa('tpm2_createprimary', ['-C', 'n', '-G', 'ecc', '-c', name], { cwd: tpm.dir, env })
  }
  const { tools } = await patientTools(t, tpm.tcti)
  assert.equal((await readHandles(tools, 'transient')).length, 3)
  assert.equal((await createEk(tools, 'L-2')).kind, 'L-2')
  assert.deepEqual(await readHandles(tools, 'transient'), [])
})

test('a TPM that is away is unavailable', async (t) => {
  const { tools } = await patientTools(t, 'swtpm:path=/nonexistent/sock')
  await assert.rejects(readHandles(tools, 'transient'), { code: 'device.unavailable' })
})

test('a tool that hangs is ended', async (t) => {
  const tpm = await fakeTpm(t, () => undefined)
  const tools = await openTpmTools(tpm.tcti, { timeoutMs: 200 })
  t.after(() => tools.close())
  await assert.rejects(readHandles(tools, 'transient'), { code: 'device.timeout' })
})

test('a tool that is not installed is named', async (t) => {
  const tpm = await fakeTpm(t, () => undefined)
  const { tools } = await patientTools(t, tpm.tcti)
  await assert.rejects(
    tools.exclusively((run) => run('tpm2_nosuchtool', [])),
    { code: 'device.tool_missing' },
  )
})

test('operations run one at a time in the order they were asked for', async (t) => {
  const tpm = await fakeTpm(t, () => undefined)
  const { tools } = await patientTools(t, tpm.tcti)
  const order: string[] = []
  const operation = (name: string) =>
    tools.exclusively(async () => {
      order.push(`${name} begins`)
      await new Promise(setImmediate)
      order.push(`${name} ends`)
    })
  await Promise.all([operation('one'), operation('two')])
  assert.deepEqual(order, ['one begins', 'one ends', 'two begins', 'two ends'])
})

test("the TPM's code is found whether the tool prints it or only the library logs it", () => {
  const printed = 'ERROR: Eys_Load(0x1DF) - tpm:parameter(1):integrity check failed\nERROR: Unable to run tpm2_load\n'
  const logged = 'ERROR:esys:src/x.c:93:Esys_ContextLoad() Esys Finish ErrorCode (0x000001df) \nERROR: no\n'
  for (const stderr of [printed, logged]) {
    const { code, details } = toolError('tpm2_load', stderr)
    assert.equal(code, 'device.tpm')
    assert.equal(details['rc'], 0x1df)
    assert.equal(details['name'], 'TPM_RC_INTEGRITY')
  }
})

test('a failure between tool and TPM is not taken for an answer of the TPM', () => {
  assert.equal(toolError('tpm2_x', 'ERROR: Esys_X(0xA000A) - tcti:IO failure').code, 'device.unavailable')
  assert.equal(toolError('tpm2_x', 'ERROR: Esys_X(0x70001) - esapi:Catch all').code, 'device.tool')
  assert.equal(toolError('tpm2_x', 'ERROR: bad option').code, 'device.tool')
})
