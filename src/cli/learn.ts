import { writeFile } from 'node:fs/promises'
import { parse } from 'node:path'
import { Command, Option } from 'commander'
import {
  joinDocuments,
  LEARN_KINDS,
  learnBaseline,
  learnBootFiles,
  learnBoots,
  learnFiles,
  learnManifests,
  type Learned,
  type LearnedNote,
  type LearnTerms,
} from '../attest/index.ts'
import { TouchstoneError } from '../core/index.ts'
import { REPLAY_BANKS, type ReplayBank } from '../eventlog/index.ts'
import { EXIT } from './failure.ts'
import { readInput } from './files.ts'
import { inspectInputs, readBootFiles, readTrusted, type GivenKind, type LearnInputFile } from './learn-inputs.ts'
import { packageFiles } from './package-files.ts'
import { paint, print, printable, printJson } from './output.ts'

interface LearnOptions {
  readonly from: readonly string[]
  readonly kind?: GivenKind
  readonly name: string
  readonly state: 'active' | 'candidate'
  readonly bank?: ReplayBank
  readonly trust: readonly string[]
  readonly entry?: string
  readonly all?: boolean
  readonly output?: string
  readonly json?: boolean
}

const KINDS: readonly GivenKind[] = ['log', 'baseline', 'efi', 'initrd', 'grub', 'rootfs', 'packages', 'corim']
/** Room for what is put behind it: `-applications-12`. */
const NAME = /^[a-z0-9](?:[a-z0-9.-]{0,38}[a-z0-9])?$/

export function learnCommand(finish: (code: number) => void): Command {
  return new Command('learn')
    .description('Write a policy and its references: from good boots, or from what a machine is going to run.')
    .requiredOption(
      '--from <path...>',
      'event logs; or EFI images, initrds, a grub.cfg, root file systems; or packages and trees of files; or CoRIMs',
    )
    .addOption(new Option('--kind <kind>', 'what the files are, where their bytes mislead').choices(KINDS))
    .option('--name <name>', 'name of the policy, and beginning of the names of its reference sets', 'learned')
    .addOption(
      new Option('--state <state>', 'of reference values; a candidate does not match before it is made active')
        .choices(['active', 'candidate'])
        .default('active'),
    )
    .addOption(
      new Option('--bank <hash>', 'hash to learn in (default: the best that all logs have, else sha256)').choices(
        REPLAY_BANKS,
      ),
    )
    .option('--entry <entry>', 'grub.cfg: number, title or id of the entry that is booted, where it is not the default')
    .option('--trust <file...>', 'CoRIM: keys or certificates (PEM), one of which must have signed it', [])
    .option('--all', 'packages: every file, and not only programs, libraries and kernel modules')
    .option('-o, --output <file>', 'write here instead of to stdout')
    .option('--json', 'documents, what was left out and notes as JSON')
    .addHelpText(
      'after',
      `
Nothing is verified here: a policy learned from a tampered boot accepts the tampering. What differs too much among boots, or cannot
be predicted, is left out and told on stderr. What each kind gives is in policies/README.md, "Learn".

Examples:
  touchstone policy learn --from binary_bios_measurements > policies/edge-100.yaml
  touchstone policy learn --from logs/*.bin --name fleet -o fleet.yaml
  touchstone policy learn --from shimx64.efi grubx64.efi vmlinuz initrd.img grub.cfg --name release-14.2`,
    )
    .action(async (options: LearnOptions) => {
      await learn(options)
      finish(EXIT.done)
    })
}

/** What was learned, and what only boots have: rules, variants, and what was left out. */
interface Outcome extends Learned {
  readonly kind: string
  readonly bank: string
  readonly told?: Readonly<Record<string, unknown>>
}

async function learn(options: LearnOptions): Promise<void> {
  if (!NAME.test(options.name)) {
    const hint = 'Up to 40 lower-case letters, digits, dots and hyphens: release-14.2.'
    throw new TouchstoneError('usage.arguments', `"${options.name}" cannot be the name of a policy`, { hint })
  }
  const outcome = await learnOf(await inspectInputs(options.from, options.kind), options)
  const texts = joinDocuments(outcome.documents)
  if (options.output === undefined && options.json !== true && texts.length > 1) {
    throw new TouchstoneError(
      'learn.too_much',
      `the documents are ${texts.length} texts, each as large as is read at once`,
    )
  }
  for (const { severity, message } of outcome.notes) {
    process.stderr.write(
      `${severity === 'warning' ? paint(process.stderr, 'yellow', 'warning:') : 'note:'} ${printable(message)}\n`,
    )
  }
  const files = options.output === undefined ? [] : await writeTexts(options.output, texts)
  if (options.json === true) {
    const { kind, bank, documents, notes, told = {} } = outcome
    printJson({ kind, bank, documents, ...told, notes, ...(files.length === 0 ? {} : { files }) })
  } else if (options.output === undefined) print(texts.join('---\n'))
}

async function learnOf(inputs: readonly LearnInputFile[], options: LearnOptions): Promise<Outcome> {
  const groups = [...new Set(inputs.map(({ kind }) => groupOf(kind)))]
  const [group] = groups
  if (groups.length > 1) {
    const named = inputs.map(({ path, kind }) => `${path} is ${nameOf(kind)}`)
    throw new TouchstoneError('learn.mixed', `cannot learn from these at once: ${named.join(', ')}`)
  }
  const terms: LearnTerms = {
    name: options.name,
    bank: options.bank ?? 'sha256',
    state: options.state,
    now: Date.now(),
  }
  const { bank } = terms
  switch (group) {
    case 'packages': {
      const from = inputs.map(({ path }) => path)
      const { files, notes } = await packageFiles(from, { hash: bank, all: options.all === true, progress })
      return { kind: 'packages', bank, ...learnFiles(files, from.join(', '), notes, terms) }
    }
    case 'corim': {
      const files = await Promise.all(
        inputs.map(async ({ path }) => ({ name: path, bytes: await readInput(path, 16 << 20) })),
      )
      return { kind: 'corim', bank, ...learnManifests(files, await readTrusted(options.trust), terms) }
    }
    case 'boot':
      return { kind: 'boot', bank, ...learnBootFiles(await readBootFiles(inputs, terms, options.entry), terms) }
    default:
      return readLogs(inputs, options, terms)
  }
}

async function readLogs(inputs: readonly LearnInputFile[], options: LearnOptions, terms: LearnTerms): Promise<Outcome> {
  const logs = await Promise.all(inputs.map(async ({ path }) => ({ label: path, eventLog: await readInput(path) })))
  try {
    if (inputs[0]?.kind === 'baseline') return { kind: 'baseline', bank: terms.bank, ...learnBaseline(logs, terms) }
    if (options.state !== 'active') {
      const hint =
        'Try the policy with touchstone policy what-if -f before you apply it; --kind baseline gives reference sets.'
      throw new TouchstoneError('usage.arguments', 'a policy learned from boots has no state', { hint })
    }
    const { text, bank, rules, variants, leftOut, unjudged, contradictory } = learnBoots({
      name: options.name,
      logs,
      ...(options.bank === undefined ? {} : { bank: options.bank }),
    })
    const notes: LearnedNote[] = [
      ...contradictory.map(
        ({ label, why }) =>
          ({
            severity: 'warning',
            message: `${label} contradicts itself, as a log does that somebody edited: ${why}. A boot with such a log is refused; look at it with touchstone log show, and learn from another one`,
          }) as const,
      ),
      ...(logs.length > 1
        ? [{ severity: 'info', message: `${rules.length} rules from ${logs.length} boots, ${bank}` } as const]
        : []),
      ...variants.map(({ fact, why }) => ({ severity: 'info', message: `variants: ${fact}: ${why}` }) as const),
      ...leftOut.map(({ fact, why }) => ({ severity: 'info', message: `left out: ${fact}: ${why}` }) as const),
      ...(unjudged.length === 0
        ? []
        : [
            {
              severity: 'warning',
              message: `no rule reads PCR ${unjudged.join(', ')}: boots that differ there are accepted`,
            } as const,
          ]),
    ]
    const documents = [{ kind: 'AttestationPolicy', name: options.name, text } as const]
    return { kind: 'log', bank, documents, notes, told: { rules, variants, leftOut, unjudged } }
  } catch (cause) {
    const isUnknown =
      cause instanceof TouchstoneError && /^(?:decode\.|eventlog\.(?:empty|header|digests)$)/.test(cause.code)
    const guessed = inputs.filter(
      ({ isGuess }, index) => isGuess && logs[index]?.eventLog.includes('Spec ID Event') === false,
    )
    if (!isUnknown || guessed.length === 0) throw cause
    const names = guessed.map(({ path }) => path).join(', ')
    throw new TouchstoneError('learn.kind', `${names} is no event log, and nothing else that is known here`, { cause })
  }
}

/** Kinds that are learned from together. */
function groupOf(kind: GivenKind): 'logs' | 'baseline' | 'boot' | 'packages' | 'corim' {
  if (kind === 'log') return 'logs'
  return kind === 'baseline' || kind === 'packages' || kind === 'corim' ? kind : 'boot'
}

function nameOf(kind: GivenKind): string {
  return LEARN_KINDS.find((row) => row.kind === kind)?.name ?? 'an event log'
}

/** The first under the name that was given, the others beside it: base.yaml, base-2.yaml. */
async function writeTexts(output: string, texts: readonly string[]): Promise<string[]> {
  const { dir, name, ext } = parse(output)
  const files = texts.map((_, index) =>
    index === 0 ? output : `${dir === '' ? '' : `${dir}/`}${name}-${index + 1}${ext}`,
  )
  for (const [index, file] of files.entries()) {
    try {
      await writeFile(file, texts[index] ?? '')
    } catch (cause) {
      throw new TouchstoneError('usage.file', `cannot write ${file}`, {
        cause,
        hint: 'Look whether the folder is there and may be written.',
      })
    }
  }
  process.stderr.write(`wrote ${files.join(', ')}\n`)
  return files
}

const EVERY = 256

function progress(files: number, bytes: number): void {
  if (process.stderr.isTTY && files % EVERY === 0)
    process.stderr.write(`\r\x1b[K${files} files, ${Math.floor(bytes / 1e6)} MB …\r`)
}
