import type { JsonValue } from '../../../core/index.ts'
import { createHash } from 'node:crypto'
import type { Check } from '../../../core/index.ts'
import { isList, memberOf } from '../member.ts'
import type { CheckSight, Pattern } from '../pattern.ts'
import type { Disagreement, Scene } from '../scene.ts'

// What is wrong with the evidence itself. These come first: while one holds, nothing else that a node says is worth much.

const IMA_REGISTER = 10
const FIRMWARE = [0, 1, 2, 3, 4, 5, 6, 7]

/** `8, 9` */
function registersText(disagreement: readonly Disagreement[]): string {
  return disagreement.map(({ register }) => register).join(', ')
}

function ofBoot({ disagreement }: Scene): readonly Disagreement[] {
  return disagreement.filter(({ register }) => register !== IMA_REGISTER)
}

/** The value that the last good boot gave the register; one that it did not extend began at zero. */
function lastGoodValue({ lastGood }: Scene, { register, quoted }: Disagreement): string {
  return lastGood.get(register) ?? (register >= 17 && register <= 22 ? 'f' : '0').repeat(quoted.length)
}

function isLastGood(scene: Scene, side: 'quoted' | 'replayed'): boolean {
  const registers = ofBoot(scene)
  return (
    scene.lastGood.size > 0 &&
    registers.length > 0 &&
    registers.every((each) => each[side] === lastGoodValue(scene, each))
  )
}

/** Both are there where PCR 10 alone disagrees. */
const NOT_REPLAYED = { names: ['quote.digest', 'ima.replay'], codes: ['quote.digest', 'ima.not_replayed'] }

/** What `ima.replay` says of the first entry. */
function beginningOf(failures: Scene['failures']): unknown {
  return memberOf(failures.find(({ code }) => code === 'ima.not_replayed')?.actual, 'begins')
}

/** `sha384` */
function banksWithoutEvents(actual: JsonValue | undefined): string {
  const banks = memberOf(actual, 'banksWithoutEvents')
  return isList(banks) ? banks.map(String).join(', ') : ''
}

const DIGEST = { names: ['quote.digest'], codes: ['quote.digest'] }

const USERSPACE = 'log.userspace'

/** What systemd extends: names of NvPCRs, phases of the boot, and what identifies the system. */
const PCRS_OF_SYSTEMD = [9, 11, 15]

/** By the hex digits of a value. */
const HASH_OF_SIZE: Readonly<Record<number, string>> = { 40: 'sha1', 64: 'sha256', 96: 'sha384', 128: 'sha512' }

/** systemd 261 and newer closes registers with a text of its own, once the system runs. */
function isSeparated({ quoted, replayed }: Disagreement): boolean {
  const hash = HASH_OF_SIZE[quoted.length]
  if (hash === undefined) return false
  const separator = createHash(hash).update('os-separator').digest()
  return createHash(hash).update(Buffer.from(replayed, 'hex')).update(separator).digest('hex') === quoted
}

/** The check of systemd's log, and the digest that then cannot be right. */
function ofUserspace(codes: readonly string[]): CheckSight {
  const isOf = ({ check, code = '' }: Check): boolean => check === USERSPACE && codes.includes(code)
  return {
    names: [USERSPACE, ...DIGEST.names],
    where: (check, { failures }) => isOf(check) || (check.check !== USERSPACE && failures.some(isOf)),
  }
}

/** What a TPM signs beside quotes: TPM 2.0 Library Part 2 section 6.9. */
const STRUCTURES: ReadonlyMap<string, string> = new Map([
  ['0x8014', 'an answer of TPM2_NV_Certify'],
  ['0x8015', 'an answer of TPM2_GetCommandAuditDigest'],
  ['0x8016', 'an answer of TPM2_GetSessionAuditDigest'],
  ['0x8017', 'an answer of TPM2_Certify'],
  ['0x8019', 'an answer of TPM2_GetTime'],
  ['0x801a', 'an answer of TPM2_CertifyCreation'],
  ['0x801c', 'an answer of TPM2_NV_Certify'],
])

export const EVIDENCE_PATTERNS: readonly Pattern[] = [
  {
    id: 'evidence.not-a-quote',
    sentence: 'What came is not a quote that a TPM made ({checks}): somebody made it up, or sent another file.',
    checks: { names: ['quote.magic', 'quote.type'] },
    tell: (_, { checks }) => ({
      checks: checks
        .map(({ check, actual }) =>
          [check, typeof actual === 'string' ? STRUCTURES.get(actual) : undefined].filter(Boolean).join(': '),
        )
        .join(', '),
    }),
    confidence: 'likely',
    concern: 'attack',
    next: 'Take the node out of service until you know who sent this: a TPM never makes it by itself. Of a file on disk, check that it is the output of tpm2_quote -m.',
    example: 'An NV index that was certified with the attestation key, handed in as a quote.',
  },
  {
    id: 'evidence.signature',
    sentence: 'The quote is not signed by the key of this node: it was changed on the way, or another TPM made it.',
    checks: { names: ['quote.signature'], codes: ['tpm.signature_invalid'] },
    confidence: 'certain',
    concern: 'attack',
    next: 'Compare the AK on the machine with the enrolled one. If the board or TPM was exchanged, or the TPM cleared, enrol the node again; otherwise treat the sender as an impostor.',
    example: 'The disk of a node was put into another machine, whose agent goes on attesting.',
  },
  {
    id: 'evidence.unsound-signature',
    sentence: 'The signature is of a kind that is not accepted, so nobody can tell whose quote this is.',
    checks: { names: ['quote.scheme', 'quote.signature'], outcomes: ['fail'] },
    confidence: 'certain',
    concern: 'check',
    next: 'See how the enrolled AK signs: tpm2_print -t TPM2B_PUBLIC ak.pub. If it signs as this quote is signed, make one with a sound scheme, hash and size (tpm2_createak -G ecc -g sha256 -s ecdsa) and enrol it. If it signs in another way, another key made this quote: treat the sender as an impostor.',
    example: 'An AK that was made with -g sha1, or with ECDAA; an RSA key of 1,024 bits.',
  },
  {
    id: 'evidence.weak-key',
    sentence: 'The attestation key is not bound to its TPM, or signs whatever it is given: its quotes prove nothing.',
    checks: { names: ['ak.attributes'], outcomes: ['fail', 'indeterminate'] },
    confidence: 'certain',
    concern: 'attack',
    next: 'Let the node make a new AK with tpm2_createak (restricted, fixedTPM) and enrol it again. Find out who made this one.',
    example: 'A key that was made with openssl and loaded into the TPM with tpm2_import.',
  },
  {
    id: 'evidence.unseen-key',
    sentence: 'Nobody can see whether the attestation key is bound to its TPM, because only its PEM was given.',
    checks: { names: ['ak.attributes'], outcomes: ['warn'] },
    confidence: 'certain',
    concern: 'check',
    next: 'Give the TPM2B_PUBLIC of the key (ak.pub of tpm2_createak) instead of the PEM.',
    example: 'touchstone appraise --ak ak.pem',
  },
  {
    id: 'evidence.revoked-key',
    sentence: 'The attestation key was revoked.',
    checks: { names: ['ak.enrolled'], codes: ['ak.revoked'] },
    confidence: 'certain',
    concern: 'attack',
    next: 'See in the audit trail who revoked it and why (touchstone describe node), and keep the node out of service until that is settled.',
    example: 'A stolen box came back online.',
  },
  {
    id: 'evidence.other-tpm',
    sentence: 'The quote is of another TPM than the enrolled one, or its keys were made anew.',
    checks: { names: ['ak.qualified-name', 'ak.enrolled'] },
    confidence: 'likely',
    concern: 'check',
    next: 'Ask whether the board was exchanged, or the TPM cleared, and enrol the node again if so. If nobody did, it is another machine that says it is this one.',
    example: 'A repair shop replaced the main board.',
  },
  {
    id: 'evidence.replayed',
    sentence: 'The quote answers another challenge: an old one was sent again, or one of another node was relayed.',
    checks: { names: ['quote.nonce'], outcomes: ['fail'] },
    confidence: 'likely',
    concern: 'attack',
    next: 'Ask for a new challenge and quote again. If it happens again, look at what runs between the TPM and the verifier on that machine.',
    example: 'Malware answers with the quote of the last boot before it came.',
  },
  {
    id: 'evidence.other-selection',
    sentence: 'The TPM signed other registers than were asked for: some were left out, or named as others.',
    // Rules over what was left out fail with it.
    condition: 'a rule only where the selection failed and its registers are not in the quote',
    checks: {
      names: ['quote.selection', 'policy.rule', 'policy.required-fact'],
      outcomes: ['fail', 'indeterminate'],
      where: ({ check, code }, { failures }) =>
        check === 'quote.selection' ||
        (code === 'pcr.unquoted' && failures.some((each) => each.check === 'quote.selection')),
    },
    confidence: 'likely',
    concern: 'attack',
    next: 'Compare expected and got in the check below. After a change of spec.pcrs the next attestation is right again by itself; an agent that goes on choosing registers hides the others. Of files, say what was asked for: appraise --select.',
    example: 'A quote of PCR 0 to 7 alone, of a machine whose command line was changed.',
  },
  {
    id: 'evidence.clock-back',
    sentence:
      'The clock or the counters of the TPM went back: an older quote, an older copy of a TPM, or a TPM that was cleared.',
    checks: { names: ['quote.clock', 'quote.counters'], outcomes: ['fail'] },
    confidence: 'likely',
    concern: 'attack',
    next: 'If somebody cleared the TPM (firmware setup, tpm2_clear), enrol the node again. Of a virtual machine, see whether a snapshot was restored; otherwise treat the node as copied.',
    example: 'A guest was restored from a snapshot, TPM and all.',
  },
  {
    id: 'evidence.bank-without-events',
    sentence: 'The quote covers the bank {banks}, and the log has no events of it.',
    checks: {
      names: ['quote.digest'],
      codes: ['quote.digest_not_localised'],
      where: ({ actual }) => banksWithoutEvents(actual) !== '',
    },
    condition: 'it cannot be said which registers disagree, and a quoted bank has no events',
    tell: (_, { checks: [check] }) => ({ banks: banksWithoutEvents(check?.actual) }),
    confidence: 'likely',
    concern: 'check',
    next: 'Judge a bank that the log has (spec.pcrs of the policy; touchstone log show names them). A bank that the firmware does not measure into must be switched off (firmware setup, or tpm2_pcrallocate, and a reboot): whoever runs on the machine can give it any value.',
    example: 'SHA-384 is enabled, the firmware measures into SHA-256 alone, and a program extended SHA-384.',
  },
  {
    id: 'evidence.ima-absent',
    sentence:
      'The quote covers PCR 10, which the kernel extends for files that it measures, and no IMA log came that says with what.',
    condition: 'no IMA log came, and PCR 10 alone disagrees, or it cannot be said what does',
    checks: {
      names: ['quote.digest'],
      codes: ['quote.digest', 'quote.digest_not_localised'],
      where: ({ actual }, { disagreement }) =>
        memberOf(actual, 'imaLog') !== undefined &&
        banksWithoutEvents(actual) === '' &&
        disagreement.every(({ register }) => register === IMA_REGISTER),
    },
    confidence: 'possible',
    concern: 'check',
    next: 'Send the log along: imaLog in the configuration of the agent, or appraise --ima with /sys/kernel/security/ima/binary_runtime_measurements. Of machines without IMA nothing is missing: then give the register values too (--pcrs), and the check names the registers that do not agree.',
    example: 'touchstone appraise without --ima, of a machine whose kernel has ima_policy=tcb.',
  },
  {
    id: 'evidence.tpm-reset',
    sentence:
      'The TPM was reset after the machine had booted: PCR {registers} hold nothing, while the log has a whole boot.',
    checks: DIGEST,
    condition: 'the registers that disagree include one of the firmware, and all of those are as after power-on',
    tell: (scene) => {
      const firmware = scene.disagreement.filter(({ register }) => FIRMWARE.includes(register))
      if (firmware.length === 0 || !firmware.every(({ quoted }) => /^0+$/.test(quoted))) return undefined
      return { registers: registersText(firmware) }
    },
    confidence: 'likely',
    concern: 'attack',
    next: 'Reboot the machine by power off. If it happens again, look for a bus adapter on a discrete TPM, for firmware that resumes from sleep without TPM2_Startup(STATE), and for a software TPM that was restarted under a guest.',
    example: 'The reset line of a discrete TPM was pulled, so that a good log could be extended into it.',
  },
  {
    id: 'evidence.log-of-last-good',
    sentence:
      'The log shows the last good boot, and the TPM measured something else (PCR {registers}): the log was exchanged to hide what really started.',
    checks: DIGEST,
    condition:
      'in all registers that disagree (but 10) the log leads to the value of the last good boot, and the TPM signed another',
    tell: (scene) => (isLastGood(scene, 'replayed') ? { registers: registersText(ofBoot(scene)) } : undefined),
    confidence: 'certain',
    concern: 'attack',
    next: 'Take the node out of service and keep its disk: somebody with root took the trouble to hide a change. Reinstall it from known media; the registers say where to look.',
    example: 'An intruder changed the kernel command line, and lets the agent send the log of the boot before.',
  },
  {
    id: 'evidence.log-damaged',
    sentence:
      'The machine booted as it did last time, and its log is wrong: in PCR {registers} the TPM holds the values of the last good boot.',
    checks: DIGEST,
    condition: 'in all registers that disagree (but 10) the TPM signed the value of the last good boot',
    tell: (scene) => (isLastGood(scene, 'quoted') ? { registers: registersText(ofBoot(scene)) } : undefined),
    confidence: 'certain',
    concern: 'check',
    next: 'Let the agent read the log again (eventLog in its configuration must be binary_bios_measurements of this boot). If it stays wrong, something on the machine edits it.',
    example: 'The agent was configured with a copy of the log of another boot.',
  },
  {
    id: 'evidence.ima-restarted',
    sentence:
      'The IMA log begins with this boot, and PCR 10 holds more than it leads to: the kernel was started by kexec without being handed the log of the one before, or entries were taken out or extended without a log.',
    condition: 'PCR 10 alone disagrees, and the first entry is the boot aggregate of this boot',
    checks: { ...NOT_REPLAYED, where: (_, { failures }) => beginningOf(failures) === 'this-boot' },
    confidence: 'possible',
    concern: 'attack',
    next: 'Reboot the node through its firmware, not by kexec: that gives the kernel and its log a common beginning. Where kexec is wanted, use kernels with CONFIG_IMA_KEXEC and load them by kexec -s, which hands the log over. A node that shows this after a reboot through firmware has somebody as root who hides what ran.',
    example: 'systemctl kexec after an update, with a kernel that does not hand its IMA log over.',
  },
  {
    id: 'evidence.ima-beginning',
    sentence: 'The beginning of the IMA log is missing or of another boot, and PCR 10 does not hold what it leads to.',
    condition: 'PCR 10 alone disagrees, and the first entry is not the boot aggregate of this boot',
    checks: {
      ...NOT_REPLAYED,
      where: (_, { failures }) => ['missing', 'other-boot'].some((each) => each === beginningOf(failures)),
    },
    confidence: 'likely',
    concern: 'attack',
    next: 'See that imaLog of the agent is binary_runtime_measurements itself, and not a copy or a part of it; then reboot the node. If it happens again, somebody on it cuts the log.',
    example: 'The agent was given a copy of the log that was made before the last reboot.',
  },
  {
    id: 'evidence.userspace-phase',
    sentence:
      'The log of systemd lacks the phase {phase}, which the TPM was extended by: it is older than the quote, or was cut.',
    condition: 'the phase, measured at one place of PCR 11, leads to what the TPM signed',
    checks: ofUserspace(['userspace.phase_missing']),
    tell: (_, { checks }) => {
      const phase = checks.map(({ actual }) => memberOf(actual, 'missing')).find((each) => typeof each === 'string')
      return typeof phase === 'string' ? { phase } : undefined
    },
    confidence: 'certain',
    concern: 'check',
    next: 'Take the quote and then the log, and judge again: touchstone node attest does both. If the log on the node (/run/log/systemd/tpm2-measure.log) lacks the phase too, somebody took it out: reboot, and look into the node if it happens again.',
    example: 'The log was copied while the node booted, and the quote made when it was ready.',
  },
  {
    id: 'evidence.userspace-log',
    sentence:
      'The log of systemd does not account for what was measured after the firmware: a record was lost, cut out or changed, or something was extended that systemd did not log.',
    condition: 'the digest only where `log.userspace` says so',
    checks: ofUserspace(['userspace.incomplete', 'userspace.cut']),
    confidence: 'certain',
    concern: 'attack',
    next: 'Reboot the node, which gives TPM and log a common beginning. If it happens again, see on the node whether /run/log/systemd/tpm2-measure.log is whole (a T in its mode says that systemd lost a record) and who runs tpm2_pcrextend or systemd-pcrextend by hand.',
    example: 'tpm2_pcrextend 11 was run on the machine.',
  },
  {
    id: 'evidence.no-userspace-log',
    sentence:
      'Only registers that systemd measures into disagree (PCR {registers}), and its log did not come: most likely that is all that is missing.',
    condition:
      'PCR 11 or 15, or both, disagree, and beside them PCR 9 at most, and registers in which its separator makes the difference',
    checks: DIGEST,
    tell: ({ disagreement, failures }) => {
      const isSystemds =
        disagreement.some(({ register }) => register === 11 || register === 15) &&
        disagreement.every((each) => PCRS_OF_SYSTEMD.includes(each.register) || isSeparated(each))
      if (!isSystemds || failures.some(({ check }) => check === USERSPACE)) return undefined
      return { registers: registersText(disagreement) }
    },
    confidence: 'likely',
    concern: 'check',
    next: 'Send the log of systemd along: userspaceLog of the agent (/run/log/systemd/tpm2-measure.log), touchstone appraise --userspace-log. Systems before systemd 255 measure and keep no log: leave PCR 11 and 15 out of spec.pcrs for them, or mask systemd-pcrphase.',
    example:
      'A node with measured boot phases (systemd-pcrphase, systemd-pcrmachine), judged by the log of its firmware.',
  },
  {
    id: 'evidence.userspace-bank',
    sentence: 'systemd measured into other banks than the judged one, so nothing that its log says is proved.',
    checks: { names: [USERSPACE], codes: ['userspace.bank'] },
    confidence: 'certain',
    concern: 'check',
    next: 'Judge a bank that both logs have (spec.pcrs), or enable the judged bank in the firmware setup and reboot.',
    example: 'A policy of sha384 for a machine on which systemd found SHA-256 alone in use.',
  },
  {
    id: 'evidence.ima-log',
    sentence:
      'Only the IMA log does not fit the TPM (PCR 10): it was cut or edited, or something was extended that the kernel did not log.',
    checks: DIGEST,
    condition: 'PCR 10 alone disagrees',
    tell: ({ disagreement }) =>
      disagreement.length > 0 && disagreement.every(({ register }) => register === IMA_REGISTER) ? {} : undefined,
    confidence: 'certain',
    concern: 'attack',
    next: 'Reboot the node: that gives the kernel and its log a common beginning. If it happens again, whoever is root there hides what ran; see that the agent sends the log at all (imaLog in its configuration).',
    example: 'An entry of a tool that was run by hand was taken out of the log.',
  },
  {
    id: 'evidence.unlogged',
    sentence:
      'The TPM measured something in PCR {registers} that the log does not have: it was cut or edited, or something was extended without a log.',
    condition: 'the evidence says which registers disagree',
    checks: DIGEST,
    tell: ({ disagreement }) => (disagreement.length === 0 ? undefined : { registers: registersText(disagreement) }),
    confidence: 'certain',
    concern: 'attack',
    next: 'Reboot the node and attest again. If the same registers disagree, compare the log on the machine with the one that was sent; one that is the same comes from firmware or a loader that does not log what it extends.',
    example: 'tpm2_pcrextend was run on the machine.',
  },
  {
    id: 'evidence.not-localised',
    sentence: 'The log does not lead to what the TPM signed, and it cannot be said in which registers.',
    checks: { names: ['quote.digest'], codes: ['quote.digest_not_localised'] },
    evenExplained: true,
    confidence: 'certain',
    concern: 'attack',
    next: 'Get the register values along with the next quote: the agent sends them by itself; touchstone appraise takes --pcrs. They are believed only if they hash to what was signed, and then the check names the registers.',
    example: 'The log of one machine with the quote of another.',
  },
  {
    id: 'evidence.bank',
    sentence: 'The quoted bank cannot be judged: its hash cannot be replayed, or the log has no digests of it.',
    checks: { names: ['quote.digest', 'log.structure'], codes: ['bank.unsupported', 'eventlog.bank_missing'] },
    confidence: 'certain',
    concern: 'check',
    next: 'Judge a bank that the firmware measures (spec.pcrs of the policy; see which with touchstone log show), or enable SHA-256 in the firmware setup.',
    example: 'A policy of sha384 for a machine whose log has SHA-1 and SHA-256.',
  },
  {
    id: 'evidence.other-machine-kind',
    sentence: 'The log is of a confidential guest (RTMRs), and the quote is of a TPM.',
    checks: { names: ['log.structure'], codes: ['log.registers'] },
    confidence: 'certain',
    concern: 'check',
    next: 'Set eventLog of the agent to the log of the TPM: /sys/kernel/security/tpm0/binary_bios_measurements.',
    example: 'The agent was given the CCEL table.',
  },
  {
    id: 'evidence.log-unreadable',
    sentence: 'The log that came cannot be read at all: it was cut, edited, or is of another kind.',
    checks: { names: ['log.readable'] },
    confidence: 'certain',
    concern: 'check',
    next: 'Read it on the machine with touchstone log show. If that works there, something changes it before it is sent; if not, report the firmware and the file.',
    example: 'A disk that was full when the agent copied the log.',
  },
  {
    id: 'evidence.log-structure',
    sentence: 'The log contradicts itself: {finding}.',
    checks: { names: ['log.structure'] },
    tell: (_, { checks: [check] }) => {
      const { actual } = check ?? {}
      const first = isList(actual) ? actual[0] : actual
      return { finding: typeof first === 'string' ? first.slice(0, 200) : 'see the check' }
    },
    confidence: 'possible',
    concern: 'check',
    next: 'Look at the event with touchstone log show. A disguised type or a payload that contradicts its digest is somebody’s work; for what this firmware always does, the policy can say log: { structure: tolerant }.',
    example: 'An event whose digest is that of a separator, under another type.',
  },
  {
    id: 'tpm.firmware-updated',
    sentence: 'The TPM has other firmware than at the last quote.',
    checks: { names: ['quote.firmware-version'] },
    confidence: 'certain',
    concern: 'check',
    next: 'Expected once after a TPM firmware update. If nobody made one, see whether the TPM was exchanged.',
    example: 'A vendor’s tool updated the TPM.',
  },
  {
    id: 'tpm.bank-unmeasured',
    sentence:
      'A PCR bank is switched on that the firmware does not measure into: whoever runs on the machine can give it any value.',
    checks: { names: ['bank.unmeasured'], outcomes: ['fail', 'warn'] },
    confidence: 'certain',
    concern: 'check',
    next: 'Switch the bank off in the firmware setup (or with tpm2_pcrallocate) and reboot, or update the firmware.',
    example: 'SHA-384 was allocated on a machine whose firmware measures SHA-256 alone (CVE-2021-42299).',
  },
  {
    id: 'tpm.bank-weak',
    sentence: 'The machine is judged by SHA-1, in which collisions can be made.',
    checks: { names: ['bank.strength'] },
    confidence: 'certain',
    concern: 'check',
    next: 'Enable the SHA-256 bank in the firmware setup, and judge that: spec.pcrs: sha256:0-15.',
    example: 'A machine with firmware of 2014.',
  },
  {
    id: 'firmware.unmeasured',
    sentence:
      'The firmware measured nothing into {registers}: it does not measure, or its measurements are switched off.',
    checks: { names: ['pcr.zero'], outcomes: ['fail', 'warn'] },
    tell: (_, { checks: [check] }) => {
      const empty = memberOf(check?.actual, 'empty')
      return { registers: isList(empty) ? `PCR ${empty.map(String).join(', ')}` : 'some registers' }
    },
    confidence: 'likely',
    concern: 'check',
    next: 'Switch TPM measurements on in the firmware setup (Measured Boot, TPM support), and update the firmware if they are on.',
    example: 'The TPM was enabled after the operating system was installed, in legacy mode.',
  },
]
