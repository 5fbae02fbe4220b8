import { basename } from 'node:path'
import { Command, Option } from 'commander'
import { explainVerdict } from '../attest/index.ts'
import { TouchstoneError } from '../core/index.ts'
import {
  commonBank,
  diffLogs,
  readAnyLog,
  REPLAY_BANKS,
  structuralFindings,
  type EventLog,
  type ReplayBank,
} from '../eventlog/index.ts'
import { EXIT } from './failure.ts'
import { MAX_LOG, readInput } from './files.ts'
import { differenceInWords, renderDiff, type DiffedFile } from './log-diff-render.ts'
import { paint, parseOutputFormat, printable, printObject } from './output.ts'
import { wrapped } from './screen.ts'

interface Options {
  readonly bank?: ReplayBank
  readonly output?: string
  readonly json?: boolean
}

export function diffCommand(finish: (code: number) => void): Command {
  return new Command('diff')
    .description('What one boot measured that another did not: by register and event, in words.')
    .argument('<before>', 'the event log to compare with, of a boot that was good')
    .argument('<after>', 'the event log to explain')
    .addOption(new Option('--bank <bank>', 'the bank to compare by').choices(REPLAY_BANKS).default(undefined, 'common'))
    .option('-o, --output <format>', 'json, yaml or wide (whole digests and texts)')
    .option('--json', 'the same as -o json')
    .addHelpText(
      'after',
      `
Events are aligned by their digests, so what is shown is what makes the values differ; labels that no digest covers are
marked with "?". Signs: + added, - removed, ~ changed, > at another place.
Exit code 0: every register has the same value. 1: some differ. 2: a file cannot be read or compared.

Example:
  touchstone log diff good.bin today.bin`,
    )
    .action(async (before: string, after: string, options: Options) => {
      const format = parseOutputFormat(options)
      const [a, b] = [await readLog(before), await readLog(after)]
      const bank = options.bank ?? commonBank(a.log, b.log)
      const diff = diffLogs(a.log, b.log, bank)
      const files = { before: describe(before, a.log), after: describe(after, b.log) }
      printObject(format, { files, ...diff }, () => {
        const wide = format === 'wide'
        const said = { checks: [], bank, quoted: [], references: [] }
        const { causes } = explainVerdict({ ...said, before: { eventLog: a.bytes }, now: { eventLog: b.bytes } })
        return [
          renderDiff(files, diff, wide),
          ...contradictionLines(files.before.file, a.log, bank),
          ...contradictionLines(files.after.file, b.log, bank),
          ...differenceInWords(causes, files.before.file, wide),
        ].join('\n')
      })
      finish(diff.same ? EXIT.done : EXIT.no)
    })
}

async function readLog(file: string): Promise<{ readonly bytes: Uint8Array; readonly log: EventLog }> {
  const bytes = await readInput(file, MAX_LOG)
  try {
    return { bytes, log: readAnyLog(bytes) }
  } catch (error) {
    if (!(error instanceof TouchstoneError)) throw error
    const { code, hint } = error
    throw new TouchstoneError(code, `${file}: ${error.message}`, { cause: error.cause, hint })
  }
}

/** Equal registers say nothing of a log whose payloads are not what was measured. */
function contradictionLines(file: string, log: EventLog, bank: ReplayBank): string[] {
  const errors = structuralFindings(log, bank).filter(({ severity }) => severity === 'error')
  const [first] = errors
  if (first === undefined) return []
  const where = first.event === undefined ? '' : `event ${first.event}: `
  const more = errors.length > 1 ? `, and ${errors.length - 1} more` : ''
  const text = `${printable(file)} contradicts itself: ${where}${printable(first.message)}${more}. touchstone log show has the findings.`
  return ['', ...wrapped(text, '', (line) => paint(process.stdout, 'red', line))]
}

function describe(file: string, log: EventLog): DiffedFile {
  return { file: basename(file), format: log.format, events: log.events.length }
}
