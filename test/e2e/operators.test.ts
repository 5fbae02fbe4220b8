import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import { z } from 'zod'
import { attestationList, nodeList, verdictExplanation } from '../../src/wire/index.ts'
import { openStage, root, runCommand } from '../../scripts/stage/processes.ts'
import { startVerifier, waitFor, writeNodeConfig } from '../../scripts/stage/fleet.ts'
import { manufactureBoxes, prepareFleet } from '../../scripts/stage/boxes.ts'
import { powerOn, readBoot } from '../../swtpm/index.ts'

const touchstone = join(root, 'bin', 'touchstone')

function refused(args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(touchstone, args, { env: { ...process.env, ...env } }, (error, _stdout, stderr) => {
      if (error === null) reject(new Error(`${args.join(' ')} was not refused`))
      else resolve(stderr)
    })
  })
}

test('operators see a node, suspend it, let it work again, and need the role for it', async (t) => {
  const stage = await openStage()
  t.after(async () => {
    await stage.end()
    await stage.discard()
  })
  const [box] = await manufactureBoxes(stage, 1)
  assert.ok(box)
  const verifier = await startVerifier(stage, await prepareFleet(stage, [box]))
  const power = await powerOn({ directory: box.directory, boot: await readBoot('honest') })
  stage.onEnd(async () => {
    await power.powerOff()
  })
  const config = await writeNodeConfig(stage, verifier, { ...power, ...box })
  const operator = (...args: readonly string[]) => runCommand(args, verifier.environment)

  await t.test('node enroll onboards once and answers the same afterwards', async () => {
    const first = await runCommand(['node', 'enroll', '--config', config, '--json'])
    assert.equal(await runCommand(['node', 'enroll', '--config', config, '--json']), first)
  })
  const [nodeId = ''] = await verifier.nodes()

  await t.test('node attest prints a token for the relying party that asked', async () => {
    const token = await runCommand([
      'node',
      'attest',
      '--config',
      config,
      '--audience',
      'gate',
      '--nonce',
      '0123456789',
    ])
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
    assert.deepEqual(
      [Reflect.get(Object(claims), 'aud'), Reflect.get(Object(claims), 'eat_nonce')],
      ['gate', '0123456789'],
    )
  })

  await t.test('get nodes answers as table, JSON and YAML, and by name', async () => {
    assert.match(await operator('get', 'nodes'), new RegExp(`^NODE .*\\n${nodeId} +active +affirming +Edge 100`, 'm'))
    assert.equal(nodeList.parse(JSON.parse(await operator('get', 'nodes', '-o', 'json'))).items[0]?.nodeId, nodeId)
    assert.equal(nodeList.parse(parse(await operator('get', 'nodes', nodeId, '-o', 'yaml'))).items.length, 1)
    assert.match(await operator('get', 'attestations', '--node', nodeId), /affirming/)
    assert.match(await operator('get', 'policies'), /learned +AttestationPolicy +0 +file/)
  })

  await t.test('describe shows identity, certificates and every check', async () => {
    const text = await operator('describe', 'node', nodeId)
    for (const part of [
      /EK \(SPKI SHA-256\) +[0-9a-f]{64}/,
      /Certificate \(device\) +serial/,
      /✓ \d+ passed: [^✗]*quote\.signature/,
    ]) {
      assert.match(text, part)
    }
  })

  await t.test('explain says of a good verdict that nothing differs from the one before', async () => {
    const [newest] = attestationList.parse(
      JSON.parse(await operator('get', 'attestations', '--node', nodeId, '-o', 'json')),
    ).items
    // Lines are as wide as a terminal.
    const text = (await operator('explain', newest?.id ?? '')).replaceAll(/\s+/g, ' ')
    assert.match(text, /^affirming attestation of node/)
    assert.match(text, /Every register has the value that it had in the last good verdict, in this very boot/)
    const { explanation } = z
      .looseObject({ explanation: verdictExplanation })
      .parse(JSON.parse(await operator('explain', newest?.id ?? '', '--json')))
    assert.deepEqual([explanation.causes, explanation.failures], [[], []])
  })

  await t.test('a suspended node gets no verdict, and its agent says why', async () => {
    assert.match(await operator('suspend', 'node', nodeId), /suspended/)
    assert.match(await refused(['node', 'attest', '--config', config], {}), /node\.suspended/)
    assert.match(await operator('activate', 'node', nodeId), /active/)
    await runCommand(['node', 'attest', '--config', config])
  })

  await t.test('a viewer reads and decides nothing', async () => {
    const dataDir = join(verifier.root, '..', '..')
    const file = join(stage.directory, 'viewer.token')
    await writeFile(file, await runCommand(['token', 'create', 'eve', '--data-dir', dataDir]))
    const environment = { ...verifier.environment, TOUCHSTONE_TOKEN_FILE: file }
    assert.match(await runCommand(['get', 'nodes'], environment), /active/)
    assert.match(await refused(['suspend', 'node', nodeId], environment), /auth\.forbidden/)
    await runCommand(['token', 'revoke', 'eve', '--data-dir', dataDir])
    assert.match(await refused(['get', 'nodes'], environment), /auth\.invalid/)
  })

  await t.test('the daemon is asked for its status over its socket', async () => {
    const agent = stage.start('node', ['node', 'run', '--config', config])
    const status = await waitFor('the agent to be ready', agent, async () => {
      const text = await runCommand(['node', 'status', '--config', config]).catch(() => undefined)
      return text?.includes('attesting') === true ? text : undefined
    })
    assert.match(status, new RegExp(nodeId))
    await agent.stop()
    assert.equal(await agent.ended, 0)
  })

  await t.test('a cleared TPM says so, and its new keys are refused as the policy for re-enrolment says', async () => {
    await promisify(execFile)('tpm2_clear', ['-c', 'p'], { env: { ...process.env, TPM2TOOLS_TCTI: power.tcti } })
    const said = await refused(['node', 'enroll', '--config', config], {})
    assert.match(said, /tpm-cleared/)
    assert.match(said, /\[onboarding\.re_enrolment\]/)
    assert.deepEqual(await verifier.nodes(), [nodeId])
  })
})
