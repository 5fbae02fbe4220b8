import type { Check } from '../../../core/index.ts'
import { exceptionText, explanationOf } from '../../explain.ts'
import { named } from '../pattern.ts'
import type { CheckSight, Pattern, Seen, Values } from '../pattern.ts'
import { differencesAbout, registersAbout } from '../about.ts'
import { dangersOf } from '../dangerous-parameters.ts'
import { isList, memberOf } from '../member.ts'
import type { Scene } from '../scene.ts'

// What the kernel measured since the boot, what a guest runs on, and what is the policy's own matter.

const FILES = ['ima.files']

/** IMA's checks name the file as their event. */
function filesText(_: unknown, { checks }: Pick<Seen, 'checks'>): Values {
  const paths = checks.map(({ event }) => event?.summary.split(' ')[0] ?? '')
  return { files: named(paths, 4) || 'see the checks' }
}

function ima(codes: readonly string[]): CheckSight {
  return { names: FILES, codes }
}

function rulesText(checks: readonly Check[]): string {
  return named(checks.map(({ claim, rule, check }) => claim ?? rule ?? check))
}

const RULE = ['policy.rule', 'policy.required-fact']

const REGISTER = { names: RULE, codes: ['policy.no_match'] }

function isRegister({ claim }: Check): boolean {
  return claim?.startsWith('pcr.') === true
}

/** Whether another rule is about something in the same register. */
function isToldByOthers(check: Check, { failures }: Scene): boolean {
  const own = registersAbout(check)
  return failures.some(
    (other) =>
      RULE.includes(other.check) && !isRegister(other) && registersAbout(other).some((pcr) => own.includes(pcr)),
  )
}

function numbersText(checks: readonly Check[]): string {
  return named(
    checks.map(({ claim }) => claim?.slice('pcr.'.length) ?? ''),
    24,
  )
}

export const RUNTIME_PATTERNS: readonly Pattern[] = [
  {
    id: 'ima.other-kernel',
    sentence: 'A kernel that was started by kexec found other boot measurements than the first one.',
    condition: 'a later entry is named boot_aggregate, and has another digest than the first',
    checks: {
      ...ima(['ima.file_unknown', 'ima.file_changed', 'ima.unsigned']),
      where: ({ event }) => event?.summary === 'boot_aggregate' && event.index > 0,
    },
    confidence: 'possible',
    concern: 'check',
    next: 'If the two kernels use another hash (ima_hash=) or another bank, or something extends PCR 0 to 9 while the system runs, let them agree, or add the digest to a reference set. Otherwise a file is named so: find it.',
    example: 'kexec from a kernel with ima_hash=sha256 to one with ima_hash=sha384.',
  },
  {
    id: 'ima.changed-files',
    sentence: 'Files ran or were read whose content is not the known one of their path: {files}.',
    checks: ima(['ima.file_changed']),
    tell: filesText,
    confidence: 'likely',
    concern: 'attack',
    next: 'See in the package manager’s log of the node whether they were updated (then add the release’s digests to the reference set). If not, somebody replaced them: take the node out of service.',
    example: '/usr/bin/sshd with a back door; a security update of openssh.',
  },
  {
    id: 'ima.unknown-files',
    sentence: 'Files ran or were read that no reference knows: {files}.',
    checks: ima(['ima.file_unknown', 'ima.file_moved']),
    tell: filesText,
    confidence: 'likely',
    concern: 'attack',
    next: 'Find out who put them there. If they belong there, add their digests to a reference set, sign them, or exclude the path; else take the node out of service and reinstall.',
    example: 'A tool in /tmp was started.',
  },
  {
    id: 'ima.bad-signatures',
    sentence: 'Files that must be signed are not, or by others: {files}.',
    checks: ima(['ima.unsigned', 'ima.signature', 'ima.signature_key', 'ima.signature_form']),
    tell: filesText,
    confidence: 'likely',
    concern: 'attack',
    next: 'Compare the key id in the check with the keys of spec.ima.keys. Files that were unpacked from an archive lose their signature; a changed file keeps a wrong one.',
    example: 'A script was edited in place.',
  },
  {
    id: 'ima.withdrawn-files',
    sentence: 'Files ran that are known as revoked, deprecated or not yet approved: {files}.',
    checks: ima(['policy.revoked', 'policy.deprecated', 'policy.candidate']),
    tell: filesText,
    confidence: 'certain',
    concern: 'check',
    next: 'Update the package that they come from; of candidates, approve them (state: active) or take them off the node.',
    example: 'An old sudo whose digest is revoked.',
  },
  {
    id: 'ima.violations',
    sentence: 'Files were open for writing while they were measured, so nobody knows what ran: {files}.',
    checks: { names: ['ima.violations'] },
    tell: filesText,
    confidence: 'possible',
    concern: 'check',
    next: 'Find the writer in the kernel’s audit messages, and leave out what changes by nature (logs, databases) in the IMA policy of the node.',
    example: 'A log file that a program reads while another writes it.',
  },
  {
    id: 'ima.keys',
    sentence: 'The kernel measured keys or settings that the policy does not know: {files}.',
    checks: { names: ['ima.buffers'] },
    tell: filesText,
    confidence: 'likely',
    concern: 'check',
    next: 'A key in a keyring of the kernel may sign files and modules: find out who loaded it (keyctl, dmesg), and add it to the rule if it is yours.',
    example: 'A module signing key was added to .ima.',
  },
  {
    id: 'ima.devices',
    sentence: 'A mapped device is not what the policy wants: {files}.',
    checks: { names: ['ima.device-mapper'] },
    tell: filesText,
    confidence: 'likely',
    concern: 'attack',
    next: 'Compare the root hash with that of your image; see with dmsetup table who maps what is mounted there.',
    example: 'The root file system is mounted without dm-verity.',
  },
  {
    id: 'ima.kexec',
    sentence:
      'The kernel began on other boot measurements than the quoted ones: it was started by kexec, or something was measured behind its back.',
    checks: { names: ['ima.boot-aggregate'], outcomes: ['warn', 'fail'] },
    confidence: 'possible',
    concern: 'check',
    next: 'Reboot the node through its firmware. If it warns again, something extends PCR 0 to 9 after the kernel started: see tpm2_pcrextend, systemd-pcrphase and the like.',
    example: 'kexec -e after an update of the kernel.',
  },
  {
    id: 'ima.in-parts',
    sentence: 'The IMA log is still being sent, part by part.',
    checks: { names: ['quote.digest', 'ima.replay', ...FILES], codes: ['ima.partial'] },
    confidence: 'certain',
    concern: 'expected',
    next: 'Wait for the next attestation, which the agent makes at once. If it stays, see the agent’s log on the node.',
    example: 'A node with 200,000 entries enrols.',
  },
  {
    id: 'ima.no-log',
    sentence: 'No IMA log came that the quote covers, or it cannot be judged.',
    checks: {
      names: ['ima.replay', 'ima.structure', 'ima.boot-aggregate', 'quote.digest', ...FILES],
      codes: [
        'ima.missing',
        'ima.empty',
        'ima.too_long',
        'ima.structure',
        'ima.boot_aggregate_unknown',
        'ima.signatures_too_many',
      ],
    },
    confidence: 'certain',
    concern: 'check',
    next: 'See that the kernel was booted with an IMA policy (ima_policy=tcb, or /etc/ima/ima-policy), that its TPM driver is built in, and that the agent’s imaLog points to binary_runtime_measurements.',
    example: 'A kernel was installed whose TPM driver is a module.',
  },
  {
    id: 'guest.not-placed-here',
    sentence: 'The guest may not run where it runs: it is not placed there, was moved, or has another TPM.',
    checks: { names: ['guest.placement'] },
    confidence: 'certain',
    concern: 'check',
    next: 'See touchstone get placements. Place it (touchstone place GUEST NODE), or stop it where it runs; a second copy of a guest is a theft of its keys.',
    example: 'A guest was started on a spare host by hand.',
  },
  {
    id: 'guest.host-suspended',
    sentence: 'The host of the guest was suspended, or was never approved.',
    checks: { names: ['guest.host-active'], outcomes: ['fail'] },
    confidence: 'certain',
    concern: 'check',
    next: 'See why: touchstone describe node HOST. Guests are good again when the host is active and attests.',
    example: 'An operator suspended the host while looking into an alarm.',
  },
  {
    id: 'guest.host-silent',
    sentence: 'The host of the guest has not attested in this boot, or not for too long.',
    checks: { names: ['guest.host-boot', 'guest.host-fresh', 'link.host-boot'], outcomes: ['fail'] },
    confidence: 'certain',
    concern: 'check',
    next: 'Look at the agent on the host (its log, its connection to the verifier). The guest is good again after the host’s next good verdict.',
    example: 'The host rebooted a moment ago.',
  },
  {
    id: 'guest.host-changed',
    sentence: 'Something was measured on the host since its last verdict.',
    checks: { names: ['link.host-state'], outcomes: ['fail'] },
    confidence: 'likely',
    concern: 'attack',
    next: 'Let the host attest now, and read its verdict: it says what was measured.',
    example: 'A kernel module extended a register on the host.',
  },
  {
    id: 'guest.host-untrusted',
    sentence: 'The guest itself may be fine: its host is not trusted, and whoever rules the host rules the guest.',
    checks: { names: ['guest.host-verdict'], outcomes: ['fail', 'warn'] },
    confidence: 'certain',
    concern: 'check',
    next: 'Look at the host instead: touchstone describe node HOST says what is wrong with it, and what to do. Move guests that must run to another host.',
    example: 'The host booted with another kernel.',
  },
  {
    id: 'guest.old-copy',
    sentence: 'The TPM of the guest is an old copy, or was not started by the broker of its host.',
    checks: { names: ['link.generation', 'link.ledger'], outcomes: ['fail'] },
    confidence: 'likely',
    concern: 'attack',
    next: 'Stop the guest. Start it by its broker (touchstone vtpm), which has the newest state; if the state was copied, give the guest new keys.',
    example: 'The disk of a host was restored from a backup.',
  },
  {
    id: 'guest.relayed',
    sentence: 'The link to the host is not of this guest or this host: it was relayed, forged, or mixed up.',
    checks: { names: ['link.host', 'link.host-quote', 'link.batch'], outcomes: ['fail'] },
    confidence: 'likely',
    concern: 'attack',
    next: 'Find out where the guest runs: the host that vouches is not the one that it is placed on, or did not sign this. Stop copies that you find.',
    example: 'A copy of a guest runs on a laptop, and its evidence is sent through the real host.',
  },
  {
    id: 'guest.unlinked',
    sentence: 'Nothing shows that the guest runs on its host, and the policy wants that shown.',
    checks: { names: ['link.present'] },
    confidence: 'certain',
    concern: 'check',
    next: 'Set link in the agent of the guest to the broker’s link socket, and see that the broker runs.',
    example: 'The socket was not passed into a new guest.',
  },
  {
    id: 'policy.reference-missing',
    sentence: 'A reference set that the policy names is not there, so nothing could be compared with it: {names}.',
    checks: { names: [...RULE, ...FILES, 'ima.buffers', 'ima.device-mapper'], codes: ['policy.reference_missing'] },
    tell: (_, { checks }) => ({
      names: named(checks.flatMap(({ expected }) => setNames(expected))) || rulesText(checks),
    }),
    confidence: 'certain',
    concern: 'check',
    next: 'Apply the set (touchstone apply -f), or correct its name in the rule; touchstone get references shows those that there are. Nothing is known to be wrong with the node.',
    example: 'kernals instead of kernels.',
  },
  {
    id: 'policy.fault',
    sentence: 'The policy was not evaluated, or has no rules: no node can pass.',
    checks: { names: ['policy.evaluated'], codes: ['policy.not_evaluated', 'check.blocked'] },
    confidence: 'certain',
    concern: 'check',
    next: 'Run touchstone policy check on it. If it is fine, this is a fault of the verifier: report it.',
    example: 'A policy with a name and nothing else.',
  },
  {
    id: 'policy.nothing-enforced',
    sentence:
      'No rule over the boot counts, so nothing of it was judged: any machine with an enrolled key looks like this.',
    checks: { names: ['policy.evaluated'], codes: ['policy.nothing_enforced'] },
    confidence: 'certain',
    concern: 'check',
    next: 'Enforce at least one rule over the boot: take mode: monitor away from what the fleet passes, and see who would not with touchstone policy what-if -f FILE.',
    example: 'A policy that is tried out on a fleet, with mode: monitor on every rule.',
  },
  {
    id: 'policy.withdrawn',
    sentence: 'What runs is known, and no longer approved of: {rules}.',
    checks: { names: RULE, codes: ['policy.deprecated', 'policy.revoked', 'policy.reference_expired'] },
    tell: (_, { checks }) => ({ rules: named(checks.map(labelText)) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Update the node. Deprecated still passes with a warning; revoked means known to be bad: do it now.',
    example: 'A release was deprecated because of a vulnerability.',
  },
  {
    id: 'policy.candidate',
    sentence: 'What runs is known, and not yet approved for this node: {rules}.',
    checks: { names: RULE, codes: ['policy.candidate', 'policy.canary', 'policy.reference_early'] },
    tell: (_, { checks }) => ({ rules: named(checks.map(labelText)) }),
    confidence: 'certain',
    concern: 'expected',
    next: 'If the release is approved, set the state of its entries to active (or widen the canary) and apply the set; if this node got it too early, take it back.',
    example: 'A release was rolled out before its references were approved.',
  },
  {
    id: 'policy.changed',
    sentence:
      'The boot measured exactly what the last good one did. What changed is the policy or its references: {rules}.',
    // A warning does not keep a boot from being the last good one: it is old as a rule.
    condition: 'both logs lead to the same values in every register, and only rules failed, not with a warning alone',
    checks: { names: [...RULE, 'pcr.measured'], outcomes: ['fail', 'indeterminate'] },
    tell: ({ diff, failures }, { checks }) =>
      diff?.same === true && failures.every(({ check }) => [...RULE, 'pcr.measured'].includes(check))
        ? { rules: rulesText(checks) }
        : undefined,
    confidence: 'certain',
    concern: 'check',
    next: 'See who changed the policy and when (touchstone get policies, get references), and whether other nodes fail alike. touchstone policy what-if shows that before a change is applied.',
    example: 'The state of a release was set to revoked.',
  },
  {
    id: 'policy.not-new',
    sentence: 'Not new: the last good boot had the same, and the policy does not accept it: {rules}.',
    condition: 'nothing differs in the registers that the rule reads',
    checks: {
      names: RULE,
      where: (check, scene) => scene.diff !== undefined && differencesAbout(check, scene)?.length === 0,
    },
    tell: (_, { checks }) => ({ rules: rulesText(checks) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Look for what changed elsewhere first. Then decide on this: repair the machine, or let the rule warn (onFailure) or only watch (mode: monitor).',
    example: 'Secure Boot was never on, and the house warns of that at every boot.',
  },
  {
    id: 'fact.secure-boot-off',
    sentence: 'Secure Boot is off: whatever is on the boot disk starts, signed or not.',
    condition:
      'of `secureBoot.enabled`, which is false; then of `secureBoot.authorities` too, because nothing was verified with any',
    checks: {
      names: RULE,
      where: (check, { failures }) =>
        isSecureBootOff(check) ||
        (check.claim === 'secureBoot.authorities' && check.code === 'fact.empty' && failures.some(isSecureBootOff)),
    },
    confidence: 'certain',
    concern: 'attack',
    next: 'Switch it on in the firmware setup (with keys enrolled). Where a machine must live without it, let the rule warn.',
    example: 'A machine that is enrolled for the first time.',
  },
  {
    id: 'fact.setup-mode',
    sentence: 'The platform is in setup or audit mode: anybody may write the keys that images are verified with.',
    condition: 'of `secureBoot.setupMode` or `secureBoot.auditMode`, which is true',
    checks: {
      names: RULE,
      where: ({ claim, actual }) =>
        (claim === 'secureBoot.setupMode' || claim === 'secureBoot.auditMode') && actual === true,
    },
    confidence: 'certain',
    concern: 'attack',
    next: 'Restore the keys in the firmware setup (“factory keys”, or your own), and enrol the node again.',
    example: 'A new board without keys.',
  },
  {
    id: 'fact.command-line',
    sentence: 'The kernel’s command line is not the known one: {parameters}.',
    condition: 'of `kernel.commandLine`, with the nearest known line',
    checks: { names: RULE, where: ({ claim }) => claim === 'kernel.commandLine' },
    tell: (_, { checks: [check] }) => {
      const words = (name: string) => wordsOf(memberOf(check?.nearest, name))
      const [added, missing] = [words('added'), words('missing')]
      if (added.length + missing.length === 0) return undefined
      const dangers = dangersOf(new Set(added), new Set(missing))
      const isTold = (word: string) => dangers.some((danger) => danger.startsWith(word) || danger === `no ${word}`)
      const [others, gone] = [added, missing].map((list) => list.filter((word) => !isTold(word)))
      const texts = [
        ...(dangers.length > 0 ? [`it opens the machine: ${named(dangers, 6)}`] : []),
        ...(others?.length ? [`new ${named(others, 6)}`] : []),
        ...(gone?.length ? [`missing ${named(gone, 6)}`] : []),
      ]
      return { parameters: texts.join('; ') }
    },
    confidence: 'certain',
    concern: 'check',
    next: 'If the parameters are wanted, allow them (kernel.commandLine.parameters); otherwise find out what edited the boot loader’s configuration.',
    example: 'A node that was installed from another image.',
  },
  {
    id: 'fact.firmware-action',
    sentence: 'The firmware says: {action}.',
    condition: 'of `firmware.actions`, with the action',
    checks: {
      names: RULE,
      outcomes: ['fail', 'warn'],
      where: ({ claim, actual }) => claim === 'firmware.actions' && typeof actual === 'string',
    },
    tell: (_, { checks }) => ({
      action: named(checks.flatMap(({ actual }) => (typeof actual === 'string' ? [actual] : []))),
    }),
    confidence: 'certain',
    concern: 'attack',
    next: 'Switch debug mode off and DMA protection on in the firmware setup; of an entered setup, ask who was at the machine.',
    example: 'UEFI Debug Mode.',
  },
  {
    id: 'fact.unknown-image',
    sentence: 'Something started that no reference knows: {rules}.',
    condition: 'of `boot.applications`, `boot.files`, `eve.rootfs` or `firmware.drivers`',
    checks: {
      names: RULE,
      codes: ['policy.no_match', 'policy.sequence', 'policy.not_vouched'],
      where: ({ claim }) => ['boot.applications', 'boot.files', 'eve.rootfs', 'firmware.drivers'].includes(claim ?? ''),
    },
    tell: (_, { checks }) => ({ rules: rulesText(checks) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Find out which release the node has. If it is one of yours, add its digests to the references (touchstone policy learn); otherwise reinstall.',
    example: 'A node with a kernel that nobody recorded.',
  },
  {
    id: 'fact.keys',
    sentence: 'The key databases of Secure Boot are not the known ones: {rules}.',
    checks: {
      names: RULE,
      codes: ['policy.no_match', 'policy.sequence', 'policy.entries_missing'],
      where: ({ claim }) => /^secureBoot\.(?:pk|kek|db|dbx|dbt|dbr|authorities)$/.test(claim ?? ''),
    },
    condition: 'of `secureBoot.pk`, `kek`, `db`, `dbx`, `dbt`, `dbr` or `authorities`',
    tell: (_, { checks }) => ({ rules: rulesText(checks) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Look at their certificates with touchstone log show. Of another model or firmware, learn them again; of this one, find out who changed them. An old dbx is updated with fwupdmgr.',
    example: 'A board of another revision, with another KEK.',
  },
  {
    id: 'fact.boot-path',
    sentence: 'What the firmware may boot, or the disk it boots from, is not the known one: {rules}.',
    checks: {
      names: RULE,
      codes: ['policy.no_match', 'policy.sequence'],
      where: ({ claim }) => ['boot.order', 'boot.options', 'boot.partitionTables'].includes(claim ?? ''),
    },
    condition: 'of `boot.order`, `boot.options` or `boot.partitionTables`',
    tell: (_, { checks }) => ({ rules: rulesText(checks) }),
    confidence: 'certain',
    concern: 'check',
    next: 'These differ from machine to machine: judge them only where they were learned from this one. If they were, ask who plugged something in, or changed the order.',
    example: 'A policy that was learned from another machine of the model.',
  },
  {
    id: 'fact.commands',
    sentence: 'The boot loader ran other commands than the policy knows.',
    checks: { names: RULE, outcomes: ['fail', 'warn'], where: ({ claim }) => claim === 'grub.commands' },
    condition: 'of `grub.commands`',
    confidence: 'certain',
    concern: 'check',
    next: 'Compare grub.cfg on the machine with that of its release. If it was changed on purpose, learn the policy again from this boot (touchstone policy learn); otherwise restore boot loader and configuration from known media, and find out who changed them.',
    example: 'A menu entry was added, or another one chosen.',
  },
  {
    id: 'fact.firmware-version',
    sentence: 'The firmware has a version that the policy does not allow: {version}.',
    checks: {
      names: RULE,
      outcomes: ['fail', 'warn'],
      where: ({ claim, actual }) => claim === 'firmware.version' && typeof actual === 'string',
    },
    condition: 'of `firmware.version`',
    tell: (_, { checks: [check] }) => ({ version: typeof check?.actual === 'string' ? check.actual : '' }),
    confidence: 'certain',
    concern: 'check',
    next: 'If you updated it, add the version to the policy or its references. If it is older than allowed, update it. If nobody was to touch it, find out who did.',
    example: 'A vendor’s update, before its version was added to the references.',
  },
  {
    id: 'fact.registers-follow',
    sentence: 'PCR {registers} hold other values as a whole, as they must where what was measured into them differs.',
    checks: { ...REGISTER, where: (check, scene) => isRegister(check) && isToldByOthers(check, scene) },
    condition: 'of `pcr.N`, and another check is about an event of the same register',
    tell: (_, { checks }) => ({ registers: numbersText(checks) }),
    confidence: 'likely',
    concern: 'check',
    next: 'Settle what the other checks say of these registers. Once the change is accepted, add the new values with it, or learn the policy again.',
    example: 'The command line changed, and with it PCR 8.',
  },
  {
    id: 'fact.registers',
    sentence: 'PCR {registers} hold other values than the known ones, and no rule says what in them changed.',
    checks: { ...REGISTER, where: isRegister },
    condition: 'of `pcr.N`',
    tell: (_, { checks }) => ({ registers: numbersText(checks) }),
    confidence: 'certain',
    concern: 'check',
    next: 'See which events differ: touchstone log diff GOOD.LOG THIS.LOG, or the log of a good boot as --baseline. If the change was wanted, learn the policy again from this boot; otherwise take the node out of service.',
    example: 'A policy of registers alone, and firmware that was updated.',
  },
  {
    id: 'policy.not-asked-for',
    sentence: 'The policy reads registers that nodes do not quote, or that this boot measured nothing into.',
    checks: { names: ['pcr.measured', ...RULE], codes: ['pcr.unmeasured', 'pcr.unquoted'] },
    confidence: 'certain',
    concern: 'check',
    next: 'Widen spec.pcrs of the policy, take the rule out, or make the boot measure (GRUB with its tpm module, systemd-boot, EVE’s GRUB). By itself it says nothing against the node.',
    example: 'A rule over kernel.commandLine for a boot loader that does not measure.',
  },
  {
    id: 'policy.unknown-fact',
    sentence: 'The policy asks for something that this boot does not prove either way: {rules}.',
    checks: {
      names: RULE,
      codes: ['fact.unknown', 'fact.empty', 'policy.expression_unknown', 'policy.version_unordered'],
    },
    tell: (_, { checks }) => ({ rules: rulesText(checks) }),
    confidence: 'possible',
    concern: 'check',
    next: 'Look at the boot with touchstone log show: “?” marks what is not known, and why. Either the machine never says it (loosen the rule, or whenEmpty: pass), or somebody made an event unreadable (compare with the last good boot).',
    example: 'A rule over the authorities of a machine without Secure Boot.',
  },
  {
    id: 'policy.excused',
    sentence: 'Still wrong, and excused for now: {what}. {who}.',
    condition: 'a live exception is about it; whatever else explains it',
    checks: {
      names: [...RULE, ...FILES, 'ima.violations', 'ima.buffers', 'ima.device-mapper'],
      where: ({ outcome, exception }) =>
        outcome === 'warn' && exception !== undefined && exception.unused === undefined,
    },
    evenExplained: true,
    tell: (_, { checks }) => ({
      what: named(
        checks.map(({ exception: _exception, ...check }) => explanationOf(check).title),
        3,
      ),
      who: named(
        checks.map(({ exception }) => exception && exceptionText(exception)).filter((text) => text !== undefined),
        3,
      ),
    }),
    confidence: 'certain',
    concern: 'expected',
    next: 'Ask the owner what is planned. The node is warned of and never affirmed meanwhile, and fails again when the exception ends: repair it, or change the policy, before then. touchstone exception end NAME ends it at once.',
    example: 'A lab whose machines may run an old kernel until the end of the month.',
  },
]

function isSecureBootOff({ claim, actual }: Check): boolean {
  return claim === 'secureBoot.enabled' && actual === false
}

function labelText({ nearest, claim, rule, check }: Check): string {
  const name = claim ?? rule ?? check
  const label = memberOf(nearest, 'label')
  return typeof label === 'string' ? `${label} (${name})` : name
}

/** Names of sets as the matchers show what they expected. */
function setNames(expected: Check['expected']): readonly string[] {
  const references = memberOf(expected, 'references')
  return Array.isArray(references) ? references.filter((name) => typeof name === 'string') : []
}

function wordsOf(value: Check['nearest']): string[] {
  return isList(value) ? value.filter((word) => typeof word === 'string') : []
}
