import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { execa } from 'execa'
import { learnPolicy } from '../../src/attest/learn.ts'
import { parseEventLog } from '../../src/eventlog/index.ts'
import { touchstone } from '../cli/run-touchstone.ts'
import { line, machineId, phases, userspaceLog } from '../eventlog/userspace-records.ts'
import type { Entry } from '../eventlog/userspace-records.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import type { TestTpm } from '../fixtures/swtpm.ts'
import { digestOf } from '../eventlog/build-log.ts'
import { NONCE } from './evidence.ts'

// A software TPM that measured a recorded boot of a unified kernel, then what systemd measures: the phases by its own program.
const eventLog = readFileSync(join(import.meta.dirname, '..', 'fixtures', 'unified-kernel', 'secure-boot.bin'))
const SELECTION = 'sha256:0,1,2,3,4,5,6,7,8,9,11,12,13,14,15'
const PCRPHASE = '/lib/systemd/systemd-pcrphase'
const fileSystem: Entry = {
  pcr: 15,
  eventType: 'filesystem',
  string: 'file-system:/:ext4:1e023a55-60f9-4b6b-9b80-67438dc5f065:root:::',
}
const boot: readonly Entry[] = [...phases.slice(0, 2), machineId, fileSystem, ...phases.slice(2)]

async function extend(tpm: TestTpm, pcr: number, digests: Readonly<Record<string, string>>): Promise<void> {
  const values = Object.entries(digests).map(([bank, digest]) => `${bank}=${digest}`)
  await tpm.run('tpm2_pcrextend', `${pcr}:${values.join(',')}`)
}

/** systemd-pcrphase measures if a variable of the firmware says that the stub did: a mount of its own has it. */
async function measurePhase(tpm: TestTpm, phase: string): Promise<boolean> {
  const script = `set -e
mount -t tmpfs none /sys/firmware
mkdir -p /sys/firmware/efi/efivars
printf '\\007\\000\\000\\0001\\0001\\000\\000\\000' >/sys/firmware/efi/efivars/StubPcrKernelImage-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
exec ${PCRPHASE} --tpm2-device="$1" --bank=sha256 --bank=sha1 "$2"`
  const options = { reject: false, env: { SYSTEMD_LOG_LEVEL: 'info' } }
  const { exitCode, stderr } = await execa('unshare', ['-rm', 'sh', '-c', script, 'sh', tpm.tcti, phase], options)
  return exitCode === 0 && stderr.includes('Successfully extended PCR index 11')
}

async function machine(t: TestContext): Promise<TestTpm> {
  const tpm = await freshTpm()
  t.after(() => tpm.close())
  for (const { pcr, digests, index } of parseEventLog(eventLog).events) {
    if (index > 0) await extend(tpm, pcr, { sha256: digests.get('sha256')?.toString('hex') ?? '' })
  }
  await tpm.run('tpm2_createek', '-Q', '-G', 'rsa', '-c', 'ek.ctx', '-u', 'ek.pub')
  const scheme = ['-G', 'ecc', '-g', 'sha256', '-s', 'ecdsa']
  await tpm.run('tpm2_createak', '-Q', '-C', 'ek.ctx', ...scheme, '-c', 'ak.ctx', '-u', 'ak.pub')
  await tpm.write('eventlog.bin', eventLog)
  const policy = learnPolicy({ name: 'learned', eventLog }).replace(/pcrs: \S+/, `pcrs: ${SELECTION}`)
  await tpm.write('policy.yaml', Buffer.from(policy))
  return tpm
}

async function quote(tpm: TestTpm): Promise<void> {
  const files = ['-m', 'quote.msg', '-s', 'quote.sig']
  const nonce = NONCE.toString('hex')
  await tpm.run('tpm2_quote', '-Q', '-c', 'ak.ctx', '-l', SELECTION, '-q', nonce, '-g', 'sha256', ...files)
  const text = await tpm.run('tpm2_pcrread', SELECTION)
  const values = [...text.matchAll(/^\s*(\d+)\s*: 0x([0-9A-F]+)$/gm)].map(([, pcr, value]): [string, string] => [
    pcr ?? '',
    value?.toLowerCase() ?? '',
  ])
  await tpm.write('pcrs.json', Buffer.from(JSON.stringify({ sha256: Object.fromEntries(values) })))
}

interface Answer {
  readonly code: number
  readonly stdout: string
  readonly verdict: {
    readonly status: string
    readonly checks: readonly { readonly check: string; readonly outcome: string; readonly code?: string }[]
  }
}

async function judged(tpm: TestTpm, ...more: readonly string[]): Promise<Answer> {
  const file = (name: string) => join(tpm.dir, name)
  const evidence = ['--quote', file('quote.msg'), '--signature', file('quote.sig'), '--nonce', NONCE.toString('hex')]
  const keys = ['--ak', file('ak.pub'), '--ek', file('ek.pub')]
  const args = ['--policy', file('policy.yaml'), ...keys, ...evidence, '--log', file('eventlog.bin'), ...more]
  const { code, stdout } = await touchstone('appraise', ...args)
  const json = await touchstone('appraise', ...args, '--json')
  return { code, stdout, verdict: JSON.parse(json.stdout) as Answer['verdict'] }
}

function codeOf({ verdict }: Answer, name: string): string {
  const check = verdict.checks.find((each) => each.check === name)
  return check?.code ?? check?.outcome ?? 'absent'
}

test('phases that systemd measured into a real TPM replay behind the log of the firmware', async (t) => {
  const tpm = await machine(t)
  let byTool = 0
  for (const { pcr = 0, string } of boot) {
    if (pcr === 11 && (await measurePhase(tpm, string))) continue
    if (pcr === 11) byTool += 1
    await extend(tpm, pcr, {
      sha1: digestOf('sha1', string).toString('hex'),
      sha256: digestOf('sha256', string).toString('hex'),
    })
  }
  if (byTool > 0) t.diagnostic(`${PCRPHASE} could not be run in a mount of its own: tpm2_pcrextend measured the phases`)
  await quote(tpm)
  const withValues = ['--pcrs', join(tpm.dir, 'pcrs.json')]
  const file = join(tpm.dir, 'tpm2-measure.log')

  await t.test('both logs: affirming', async () => {
    await tpm.write('tpm2-measure.log', userspaceLog(...boot))
    const answer = await judged(tpm, '--userspace-log', file)
    assert.deepEqual([answer.code, answer.verdict.status], [0, 'affirming'], answer.stdout)
    assert.equal(codeOf(answer, 'log.userspace'), 'pass')
  })

  await t.test('the log of the firmware alone: not, and what to do is said', async () => {
    const answer = await judged(tpm, ...withValues)
    assert.deepEqual([answer.code, codeOf(answer, 'quote.digest')], [1, 'quote.digest'])
    assert.match(answer.stdout, /--userspace-log/)
  })

  await t.test('a record that was cut out: not, and the screen names the phase', async () => {
    await tpm.write('tpm2-measure.log', userspaceLog(...boot.toSpliced(4, 1)))
    const answer = await judged(tpm, ...withValues, '--userspace-log', file)
    assert.deepEqual([answer.code, codeOf(answer, 'log.userspace')], [1, 'userspace.phase_missing'])
    assert.match(answer.stdout, /phase sysinit/)
    await tpm.write('tpm2-measure.log', userspaceLog(...boot.toSpliced(2, 1)))
    const other = await judged(tpm, ...withValues, '--userspace-log', file)
    assert.deepEqual([other.code, codeOf(other, 'log.userspace')], [1, 'userspace.incomplete'])
    assert.match(other.stdout, /[Rr]eboot/)
  })

  await t.test('a phase behind the quote: affirming, and what was not quoted is not believed', async () => {
    const shutdown = line({ pcr: 11, eventType: 'phase', string: 'shutdown' })
    await tpm.write('tpm2-measure.log', Buffer.concat([userspaceLog(...boot), Buffer.from(shutdown)]))
    const answer = await judged(tpm, '--userspace-log', file)
    assert.deepEqual([answer.code, answer.verdict.status], [0, 'affirming'])
  })

  await t.test('both logs can be looked at as one', async () => {
    await tpm.write('tpm2-measure.log', userspaceLog(...boot))
    const shown = await touchstone('log', 'show', join(tpm.dir, 'eventlog.bin'), '--userspace-log', file, '--json')
    const { pcrs } = JSON.parse(shown.stdout) as { pcrs: { sha256: Record<string, string> } }
    const read = JSON.parse((await tpm.read('pcrs.json')).toString()) as { sha256: Record<string, string> }
    assert.deepEqual([pcrs.sha256['11'], pcrs.sha256['15']], [read.sha256['11'], read.sha256['15']])
  })
})
