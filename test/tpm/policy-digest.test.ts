import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { encode, u64 } from '../../src/codec/index.ts'
import {
  nvAttributes,
  nvNameOf,
  parsePcrSelection,
  releaseKeyPublic,
  nameOf,
  TPM2B_PUBLIC,
} from '../../src/tpm/index.ts'
import { emptyPolicy, pcrDigestOf, policyAuthorize, policyNv, policyPcr } from '../../src/tpm/policy-digest.ts'
import { sealedPolicyDigest } from '../../src/tpm/release.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import type { TestTpm } from '../fixtures/swtpm.ts'

const PCRS = 'sha256:0,4,7,23'

describe('policy digests are those of tpm2-tools', () => {
  let tpm: TestTpm
  before(async () => {
    tpm = await freshTpm()
    await tpm.run('tpm2_pcrextend', `4:sha256=${'ab'.repeat(32)}`)
    await tpm.run('tpm2_nvdefine', '0x1805302', '-C', 'o', '-a', 'nt=counter|authread|authwrite|no_da')
    await tpm.run('tpm2_nvincrement', '0x1805302', '-C', '0x1805302')
  })
  after(() => tpm.close())

  /** The digest of a trial session in which the tools state these policies, one after the other. */
  async function trial(...statements: readonly (readonly [string, ...string[]])[]): Promise<Buffer> {
    await tpm.run('tpm2_startauthsession', '-S', 'trial.ctx')
    for (const [tool, ...args] of statements) await tpm.run(tool, '-S', 'trial.ctx', '-L', 'policy', ...args)
    await tpm.run('tpm2_flushcontext', 'trial.ctx')
    return await tpm.read('policy')
  }

  const registers = async (): Promise<Buffer> => {
    await tpm.run('tpm2_pcrread', PCRS, '-o', 'pcrs.bin')
    return pcrDigestOf('sha256', [await tpm.read('pcrs.bin')])
  }
  const counter = {
    nvIndex: 0x1805302,
    nameAlg: 'sha256',
    attributes: nvAttributes('AUTHREAD', 'AUTHWRITE', 'NO_DA', 'NT0', 'WRITTEN'),
    authPolicy: Buffer.alloc(0),
    dataSize: 8,
  } as const

  test('PolicyPCR', async () => {
    await tpm.run('tpm2_startauthsession', '-S', 'trial.ctx')
    await tpm.run('tpm2_policypcr', '-S', 'trial.ctx', '-l', PCRS, '-L', 'policy')
    await tpm.run('tpm2_flushcontext', 'trial.ctx')
    const ours = policyPcr('sha256', emptyPolicy('sha256'), parsePcrSelection(PCRS), await registers())
    assert.deepEqual(ours, await tpm.read('policy'))
  })

  test('PolicyPCR, then PolicyNV', async () => {
    const operandB = encode(u64, 5n)
    await tpm.write('operand', operandB)
    const theirs = await trial(
      ['tpm2_policypcr', '-l', PCRS],
      ['tpm2_policynv', '-C', '0x1805302', '0x1805302', 'ule', '-i', 'operand'],
    )
    const first = policyPcr('sha256', emptyPolicy('sha256'), parsePcrSelection(PCRS), await registers())
    const comparison = { nvName: nvNameOf(counter), operandB, offset: 0, operation: 'unsigned_le' } as const
    assert.deepEqual(policyNv('sha256', first, comparison), theirs)
  })

  test('PolicyAuthorize by the release key for a node', async () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const spki = publicKey.export({ type: 'spki', format: 'der' })
    const nodeRef = Buffer.alloc(32, 9)
    await tpm.write('key.pub', encode(TPM2B_PUBLIC, releaseKeyPublic(spki)))
    await tpm.write('ref', nodeRef)
    await tpm.run('tpm2_loadexternal', '-C', 'o', '-u', 'key.pub', '-c', 'key.ctx', '-n', 'key.name')
    const name = await tpm.read('key.name')
    assert.deepEqual(nameOf(releaseKeyPublic(spki)), name)
    await tpm.write('approved', Buffer.alloc(32))
    const theirs = await trial(['tpm2_policyauthorize', '-i', 'approved', '-q', 'ref', '-n', 'key.name'])
    assert.deepEqual(policyAuthorize('sha256', name, nodeRef), theirs)
    assert.deepEqual(sealedPolicyDigest(spki, nodeRef), theirs)
  })
})
