import assert from 'node:assert/strict'
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { readImaPiece } from '../../src/agent/measurement-logs.ts'
import { openNodeSession } from '../../src/agent/node-session.ts'
import { LIMITS, onboardingFinish } from '../../src/wire/index.ts'
import { problemAnswer } from './fake-verifier.ts'
import { testNode } from './node.ts'

/** A request has room for what is measured while the TPM quotes. */
const PART = LIMITS.imaLog - (1 << 20)

async function attestingNode(t: test.TestContext, list: string | Buffer) {
  const node = await testNode(t)
  const imaLog = join(node.directory, 'ima')
  // Smaller than what the node may enrol with, whatever follows.
  await writeFile(imaLog, 'x')
  const session = await openNodeSession({ ...node.config, imaLog }, node.deps)
  t.after(() => session.close())
  await session.enrol()
  await writeFile(imaLog, list)
  const sent = () =>
    node.verifier.accepted.map(({ imaLog: part, ima }) => [part?.toString() ?? '', ima?.known !== undefined])
  return { ...node, session, imaLog, sent }
}

test('of the IMA list only what is new is sent, for as long as the verifier has the rest', async (t) => {
  const { session, imaLog, sent, verifier } = await attestingNode(t, 'one')
  await session.attest({})
  await appendFile(imaLog, 'two')
  await session.attest({})
  await session.attest({})
  assert.deepEqual(sent(), [
    ['one', false],
    ['two', true],
    ['', true],
  ])
  verifier.ima = undefined
  await session.attest({})
  assert.deepEqual(sent().at(-1), ['onetwo', false])
})

test('a list that is shorter than what the verifier has is of another boot, and sent whole', async (t) => {
  const { session, imaLog, sent } = await attestingNode(t, 'of the boot before')
  await session.attest({})
  await writeFile(imaLog, 'of this one')
  await session.attest({})
  assert.deepEqual(sent().at(-1), ['of this one', false])
})

test('a verifier that does not have the part before takes the whole list in the same round', async (t) => {
  const { session, sent, verifier } = await attestingNode(t, 'one')
  await session.attest({})
  let refused = 0
  verifier.intercept = (path) => {
    if (!path.endsWith('evidence') || refused > 0) return undefined
    refused += 1
    return problemAnswer(409, 'attestation.ima_unknown', 'gone')
  }
  await session.attest({})
  assert.deepEqual(sent(), [
    ['one', false],
    ['one', false],
  ])
})

test('a list that is longer than a request goes in rounds of its own, and what was asked for comes with the last', async (t) => {
  const { session, verifier } = await attestingNode(t, Buffer.alloc(PART + 3, 'a'))
  await session.attest({ audience: 'https://rp.example' })
  assert.deepEqual(
    verifier.accepted.map(({ imaLog, ima, request }) => [imaLog?.byteLength, ima?.more, request.audience]),
    [
      [PART, true, undefined],
      [3, false, 'https://rp.example'],
    ],
  )
})

for (const [what, size, sent, more] of [
  ['empty', 0, undefined, undefined],
  ['as long as a request carries', LIMITS.imaLog, LIMITS.imaLog, undefined],
  ['longer', LIMITS.imaLog + 3, LIMITS.imaLog, true],
] as const) {
  test(`a node whose list is ${what} enrols with what of it a request carries`, async (t) => {
    const node = await testNode(t)
    const imaLog = join(node.directory, 'ima')
    await writeFile(imaLog, Buffer.alloc(size, 'a'))
    const session = await openNodeSession({ ...node.config, imaLog }, node.deps)
    t.after(() => session.close())
    await session.enrol()
    const { imaLog: part, imaMore } = onboardingFinish.parse(node.verifier.finished[0])
    assert.deepEqual([part?.byteLength, imaMore], [sent, more])
  })
}

test('a verifier that keeps nothing of a long list is not sent it for ever', async (t) => {
  const { session, verifier } = await attestingNode(t, Buffer.alloc(LIMITS.imaLog + 3, 'a'))
  const { accepted } = verifier
  Object.defineProperty(verifier, 'ima', { get: () => undefined, set: () => undefined })
  await session.attest({})
  assert.equal(accepted.length, 1)
})

test('a piece of the list begins where it is asked to, and says when there is more', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'touchstone-test-ima-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const file = join(directory, 'ima')
  await writeFile(file, '0123456789')
  const piece = async (from: number, max: number) => {
    const { bytes, ...rest } = await readImaPiece(file, from, max)
    return { ...rest, bytes: bytes.toString() }
  }
  assert.deepEqual(await piece(0, 100), { from: 0, bytes: '0123456789', more: false })
  assert.deepEqual(await piece(7, 100), { from: 7, bytes: '789', more: false })
  assert.deepEqual(await piece(7, 3), { from: 7, bytes: '789', more: false })
  assert.deepEqual(await piece(7, 2), { from: 7, bytes: '78', more: true })
  assert.deepEqual(await piece(10, 100), { from: 10, bytes: '', more: false })
  assert.deepEqual(await piece(11, 100), { from: 0, bytes: '0123456789', more: false })
  await assert.rejects(readImaPiece(join(directory, 'none'), 0, 1), { code: 'agent.log' })
})

/** Long enough to be worth a write. */
const LONG = 1 << 18

/** A node whose first agent has sent a long list, and what agents send that start behind it. */
async function restartedNode(t: test.TestContext) {
  const node = await testNode(t)
  const imaLog = join(node.directory, 'ima')
  const bootIdFile = join(node.directory, 'boot_id')
  const kept = join(node.config.stateDir, 'ima.json')
  await writeFile(bootIdFile, 'one\n')
  await writeFile(imaLog, 'x')
  const agent = async () => {
    const session = await openNodeSession({ ...node.config, imaLog }, { ...node.deps, bootIdFile })
    await session.attest({})
    await session.close()
    const { imaLog: part, ima } = node.verifier.accepted.at(-1) ?? {}
    return [part?.byteLength ?? 0, ima?.known !== undefined]
  }
  await agent()
  await writeFile(imaLog, Buffer.alloc(LONG, 'a'))
  await agent()
  await appendFile(imaLog, 'new')
  return { ...node, agent, bootIdFile, kept }
}

test('an agent that starts again goes on where the one before left the list, in the same boot', async (t) => {
  const { agent } = await restartedNode(t)
  assert.deepEqual(await agent(), [3, true])
  assert.deepEqual(await agent(), [0, true])
})

test('a short list is not worth a write', async (t) => {
  const { session, config } = await attestingNode(t, 'one')
  await session.attest({})
  await assert.rejects(readFile(join(config.stateDir, 'ima.json')), { code: 'ENOENT' })
})

for (const [what, change] of [
  ['of another boot', (text: string) => text.replace('"one"', '"two"')],
  ['of another state of the verifier', (text: string) => text.replace(/"known":".{64}/, `"known":"${'ab'.repeat(32)}`)],
  ['that ends behind the list', (text: string) => text.replace(/"bytes":\d+/, `"bytes":${LONG + 4}`)],
  ['that is negative', (text: string) => text.replace('"bytes":', '"bytes":-')],
  ['that is cut', (text: string) => text.slice(0, 20)],
  ['of another version', (text: string) => text.replace('"version":1', '"version":2')],
] as const) {
  test(`an agent that finds a position ${what} sends the whole list`, async (t) => {
    const { agent, kept } = await restartedNode(t)
    const text = await readFile(kept, 'utf8')
    await writeFile(kept, change(text))
    assert.notEqual(await readFile(kept, 'utf8'), text)
    assert.deepEqual(await agent(), [LONG + 3, false])
  })
}

test('a position that is lost, or cannot be written, costs nothing but sending', async (t) => {
  const { agent, kept, bootIdFile } = await restartedNode(t)
  await rm(kept)
  await mkdir(kept)
  assert.deepEqual(await agent(), [LONG + 3, false])
  await rm(kept, { recursive: true })
  await rm(bootIdFile)
  assert.deepEqual(await agent(), [LONG + 3, false])
})
