import { basename } from 'node:path'
import { Command, Option } from 'commander'
import { TouchstoneError } from '../core/index.ts'
import { commonBank, diffLogs, readAnyLog, REPLAY_BANKS, type EventLog, type ReplayBank } from '../eventlog/index.ts'
import { EXIT } from './failure.ts'
import { MAX_LOG, readInput } from './files.ts'
import { renderDiff, type DiffedFile } from './log-diff-render.ts'
import { parseOutputFormat, printObject } from './output.ts'

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
      const diff = diffLogs(a, b, options.bank ?? commonBank(a, b))
      const files = { before: describe(before, a), after: describe(after, b) }
      printObject(format, { files, ...diff }, () => renderDiff(files, diff, format === 'wide'))
      finish(diff.same ? EXIT.done : EXIT.no)
    })
}

async function readLog(file: string): Promise<EventLog> {
  const bytes = await readInput(file, MAX_LOG)
  try {
    return readAnyLog(bytes)
  } catch (error) {
    if (!(error instanceof TouchstoneError)) throw error
    const { code, hint } = error
    throw new TouchstoneError(code, `${file}: ${error.message}`, { cause: error.cause, hint })
  }
}

function describe(file: string, log: EventLog): DiffedFile {
  return { file: basename(file), format: log.format, events: log.events.length }
}
