import assert from 'node:assert/strict'
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { readImaPiece } from '../../src/agent/measurement-logs.ts'
import { openNodeSession } from '../../src/agent/node-session.ts'
import { LIMITS } from '../../src/wire/index.ts'
import { problemAnswer } from './fake-verifier.ts'
import { testNode } from './node.ts'

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
  const { session, verifier } = await attestingNode(t, Buffer.alloc(LIMITS.imaLog + 3, 'a'))
  await session.attest({ audience: 'https://rp.example' })
  assert.deepEqual(
    verifier.accepted.map(({ imaLog, ima, request }) => [imaLog?.byteLength, ima?.more, request.audience]),
    [
      [LIMITS.imaLog, true, undefined],
      [3, false, 'https://rp.example'],
    ],
  )
})

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
