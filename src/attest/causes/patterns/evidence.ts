import { isList, memberOf } from '../member.ts'
import type { Pattern } from '../pattern.ts'
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

const DIGEST = { names: ['quote.digest'], codes: ['quote.digest'] }

export const EVIDENCE_PATTERNS: readonly Pattern[] = [
  {
    id: 'evidence.not-a-quote',
    sentence: 'What came is not a quote that a TPM made ({checks}): somebody made it up, or sent another file.',
    checks: { names: ['quote.magic', 'quote.type'] },
    tell: (_, { checks }) => ({ checks: checks.map(({ check }) => check).join(', ') }),
    confidence: 'likely',
    concern: 'attack',
    next: 'Take the node out of service until you know who sent this: a TPM never makes it by itself. Of a file on disk, check that it is the output of tpm2_quote -m.',
    example: 'An NV index that was certified with the attestation key, handed in as a quote.',
  },
  {
    id: 'evidence.signature',
    sentence: 'The quote is not signed by the key of this node: it was changed on the way, or another TPM made it.',
    checks: { names: ['quote.signature', 'quote.scheme'], outcomes: ['fail'] },
    confidence: 'certain',
    concern: 'attack',
    next: 'Compare the AK on the machine with the enrolled one. If the board or TPM was exchanged, or the TPM cleared, enrol the node again; otherwise treat the sender as an impostor.',
    example: 'The disk of a node was put into another machine, whose agent goes on attesting.',
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
    next: 'Compare expected and got in the check below. After a change of spec.pcrs the next attestation is right again by itself; an agent that goes on choosing registers hides the others.',
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
    id: 'evidence.ima-log',
    sentence:
      'Only the IMA log does not fit the TPM (PCR 10): it was cut or edited, or something was extended that the kernel did not log.',
    checks: DIGEST,
    condition: 'PCR 10 alone disagrees',
    tell: ({ disagreement }) =>
      disagreement.length > 0 && disagreement.every(({ register }) => register === IMA_REGISTER) ? {} : undefined,
    confidence: 'certain',
    concern: 'attack',
    next: 'Reboot the node: that gives the kernel and its log a common beginning. If it happens again, whoever is root there hides what ran; on kernels with a kexec, see that the log is carried over.',
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
