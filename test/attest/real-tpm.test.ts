import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { AppraisalInput } from '../../src/attest/appraise.ts'
import { learnPolicy } from '../../src/attest/learn.ts'
import { parsePolicy } from '../../src/attest/policy.ts'
import { selectionToAsk } from '../../src/attest/selection.ts'
import { encode } from '../../src/codec/index.ts'
import { parseEventLog } from '../../src/eventlog/index.ts'
import { formatPcrSelection, parsePcrSelection, TPMS_ATTEST } from '../../src/tpm/index.ts'
import type { PcrSelection } from '../../src/tpm/index.ts'
import { agileLog, regularBoot } from '../eventlog/build-log.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import type { TestTpm } from '../fixtures/swtpm.ts'
import { checkNamed, without } from './case.ts'
import { fakeTpm, NONCE, pcrsOf, quoteOf } from './evidence.ts'

const eventLog = agileLog(regularBoot(), { banks: ['sha1', 'sha256'] })
const policy = parsePolicy(learnPolicy({ name: 'learned', eventLog }))

/** A software TPM that measured the log, with an AK under its EK; `measured` leaves a bank out. */
async function machine(
  t: TestContext,
  measured: readonly ('sha1' | 'sha256')[] = ['sha1', 'sha256'],
): Promise<TestTpm> {
  const tpm = await freshTpm()
  t.after(() => tpm.close())
  for (const { pcr, digests, index } of parseEventLog(eventLog).events) {
    if (index === 0) continue
    const values = measured.map((bank) => `${bank}=${digests.get(bank)?.toString('hex') ?? ''}`)
    await tpm.run('tpm2_pcrextend', `${pcr}:${values.join(',')}`)
  }
  await tpm.run('tpm2_createek', '-Q', '-G', 'rsa', '-c', 'ek.ctx', '-u', 'ek.pub')
  await tpm.run(
    'tpm2_createak',
    '-Q',
    '-C',
    'ek.ctx',
    '-G',
    'ecc',
    '-g',
    'sha256',
    '-s',
    'ecdsa',
    '-c',
    'ak.ctx',
    '-u',
    'ak.pub',
  )
  return tpm
}

async function quoted(tpm: TestTpm, selection: PcrSelection = policy.pcrs): Promise<AppraisalInput> {
  const pcrs = formatPcrSelection(selection)
  const files = ['-m', 'quote.msg', '-s', 'quote.sig']
  await tpm.run('tpm2_quote', '-Q', '-c', 'ak.ctx', '-l', pcrs, '-q', NONCE.toString('hex'), '-g', 'sha256', ...files)
  return { ...(await keys(tpm)), quote: await tpm.read('quote.msg'), signature: await tpm.read('quote.sig') }
}

async function keys(tpm: TestTpm) {
  return {
    policy,
    ak: { public: await tpm.read('ak.pub') },
    ek: await tpm.read('ek.pub'),
    enrolment: 'enrolled',
    nonce: NONCE,
    eventLog,
  } as const
}

test('a software TPM that measured the log is affirming, over every bank that a verifier asks for', async (t) => {
  const tpm = await machine(t)
  const { stdout: banks } = { stdout: await tpm.run('tpm2_getcap', 'pcrs') }
  const selection = selectionToAsk(policy.pcrs)
  const input = await quoted(tpm, selection)
  const unmeasured = ['sha384', 'sha512'].filter((bank) => new RegExp(`${bank}: \\[ 0`).test(banks))
  const appraisal = appraise({ ...input, selection })
  assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'pass')
  assert.deepEqual(checkNamed(appraisal, 'bank.unmeasured').actual, { unmeasured })
  assert.equal(appraisal.status, unmeasured.length === 0 ? 'affirming' : 'contraindicated')
  assert.equal(appraise(await quoted(tpm)).status, 'affirming')
})

test('a bank that is enabled in a real TPM and was not measured into is seen', async (t) => {
  const tpm = await machine(t, ['sha256'])
  const selection = parsePcrSelection('sha256:0-15+sha1:0-7')
  // The log says what the firmware wanted; the TPM says what happened.
  const appraisal = appraise({ ...(await quoted(tpm, selection)), selection })
  assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'fail')
  assert.equal(appraisal.status, 'contraindicated')
})

test('an NV index that a real TPM certified is no quote, whatever is written in it', async (t) => {
  const tpm = await machine(t)
  const forged = encode(TPMS_ATTEST, quoteOf(fakeTpm(), { pcrs: pcrsOf(eventLog) }))
  await tpm.write('forged.bin', forged)
  await tpm.run(
    'tpm2_nvdefine',
    '-Q',
    '0x1500016',
    '-C',
    'o',
    '-s',
    String(forged.byteLength),
    '-a',
    'ownerread|ownerwrite|authread|authwrite',
  )
  await tpm.run('tpm2_nvwrite', '-Q', '0x1500016', '-C', 'o', '-i', 'forged.bin')
  const files = ['-o', 'nv.sig', '--attestation', 'nv.attest']
  const size = String(forged.byteLength)
  await tpm.run(
    'tpm2_nvcertify',
    '-C',
    'ak.ctx',
    '-c',
    'o',
    '-g',
    'sha256',
    '-s',
    'ecdsa',
    '-q',
    NONCE.toString('hex'),
    '--size',
    size,
    ...files,
    '0x1500016',
  )
  const appraisal = appraise({
    ...(await keys(tpm)),
    quote: await tpm.read('nv.attest'),
    signature: await tpm.read('nv.sig'),
  })
  assert.equal(checkNamed(appraisal, 'quote.signature').outcome, 'pass')
  assert.equal(checkNamed(appraisal, 'quote.nonce').outcome, 'pass')
  assert.equal(checkNamed(appraisal, 'quote.type').outcome, 'fail')
  assert.equal(appraisal.status, 'contraindicated')
})

test('a quote forged by an unrestricted key of a real TPM is refused by its attributes, with the EK or without', async (t) => {
  const tpm = await machine(t)
  await tpm.run('tpm2_createprimary', '-Q', '-C', 'o', '-G', 'ecc', '-c', 'srk.ctx')
  await tpm.run(
    'tpm2_create',
    '-Q',
    '-C',
    'srk.ctx',
    '-G',
    'ecc:ecdsa-sha256',
    '-a',
    'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign',
    '-u',
    'key.pub',
    '-r',
    'key.priv',
  )
  await tpm.run('tpm2_load', '-Q', '-C', 'srk.ctx', '-u', 'key.pub', '-r', 'key.priv', '-c', 'key.ctx')
  await tpm.write('forged.bin', encode(TPMS_ATTEST, quoteOf(fakeTpm(), { pcrs: pcrsOf(eventLog) })))
  await tpm.run('tpm2_sign', '-Q', '-c', 'key.ctx', '-g', 'sha256', '-s', 'ecdsa', '-o', 'forged.sig', 'forged.bin')
  const forgery: AppraisalInput = {
    ...(await keys(tpm)),
    ak: { public: await tpm.read('key.pub') },
    quote: await tpm.read('forged.bin'),
    signature: await tpm.read('forged.sig'),
  }
  for (const input of [forgery, without(forgery, 'ek')]) {
    const appraisal = appraise(input)
    assert.equal(checkNamed(appraisal, 'quote.signature').outcome, 'pass')
    assert.equal(checkNamed(appraisal, 'ak.attributes').outcome, 'fail')
    assert.equal(appraisal.status, 'contraindicated')
  }
})

test('a real quote of PCR 16 in the place of PCR 15 is another selection', async (t) => {
  const tpm = await machine(t)
  const appraisal = appraise(await quoted(tpm, parsePcrSelection('sha256:0-14,16')))
  assert.equal(checkNamed(appraisal, 'quote.selection').outcome, 'fail')
  assert.equal(appraisal.status, 'contraindicated')
})
