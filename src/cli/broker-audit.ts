import { Command } from 'commander'
import type { z } from 'zod'
import { TouchstoneError } from '../core/index.ts'
import type { AuditReport } from '../vtpm/lane/index.ts'
import type { auditReport } from '../vtpm/broker/index.ts'
import { askBroker, SOCKET_OPTION } from './broker-socket.ts'
import { EXIT } from './failure.ts'
import { paint, print, printable, printJson } from './output.ts'

type Rendered = AuditReport | z.output<typeof auditReport>

interface Options {
  readonly stateDir?: string
  readonly socket?: string
  readonly head?: string
  readonly json?: boolean
}

/** `touchstone broker audit …`: what the hardware lane wrote down. */
export function brokerAuditCommand(finish: (code: number) => void): Command {
  return new Command('audit')
    .description('The chained log of commands that the broker refused, or that spoke for an identity.')
    .addCommand(verifyCommand(finish))
}

function verifyCommand(finish: (code: number) => void): Command {
  return new Command('verify')
    .description('Find edits, deletions and reorderings in the audit log.')
    .argument('[file]', 'one file of the log, by itself')
    .option('--state-dir <directory>', 'of a broker: the whole log in it, without the key of its checkpoints')
    .option(...SOCKET_OPTION)
    .option('--head <seq:hash>', 'an entry that was noted elsewhere, and has to be there')
    .option('--json', 'the report as JSON')
    .addHelpText(
      'after',
      `
Without file and directory the broker on this node verifies its own log: it has the key of the checkpoints, which it writes
every ten minutes, and so can tell entries that it wrote from those that somebody put there while it was off.

Each entry carries the hash of the one before it, so a log proves itself up to an entry that you know. Its end can still be
cut off: note the head that this command prints on another machine, and give it back with --head. Exit code 1 means that
something is wrong with the log.

Example:
  touchstone broker audit verify --head 4711:9f86d0…
  touchstone broker audit verify --state-dir /mnt/disk-of-a-node/var/lib/touchstone-broker`,
    )
    .action(async (file: string | undefined, options: Options) => {
      const { parseHead, verifyAuditFile, verifyAuditLog } = await import('../vtpm/lane/index.ts')
      const expected = options.head === undefined ? undefined : parseHead(options.head)
      if (options.head !== undefined && expected === undefined) {
        throw new TouchstoneError('usage.arguments', `${options.head} is not the head of an audit log`, {
          hint: 'Give it as verify printed it: the number of the entry, a colon, and 64 hexadecimal digits.',
        })
      }
      const given = expected === undefined ? {} : { expected }
      const { stateDir } = options
      const report = await reading(async () => {
        if (file !== undefined && stateDir === undefined) return verifyAuditFile(file, given)
        if (file === undefined && stateDir !== undefined) return verifyAuditLog(stateDir, given)
        if (file === undefined) return verifyByBroker(options)
        throw new TouchstoneError('usage.arguments', 'give either a file or --state-dir')
      })
      if (report.entries === 0 && report.problems.length === 0) {
        throw new TouchstoneError('usage.file', 'there is no audit log', {
          hint: 'Name the stateDir of the broker, or a .jsonl file in its directory audit.',
        })
      }
      if (options.json === true) printJson(report)
      else print(render(report))
      finish(report.problems.length === 0 ? EXIT.done : EXIT.no)
    })
}

async function verifyByBroker({ socket, head }: Options): Promise<Rendered> {
  const { auditReport } = await import('../vtpm/broker/index.ts')
  return auditReport.parse(await askBroker(socket, 'GET', `/v1/audit${head === undefined ? '' : `?head=${head}`}`))
}

async function reading<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    if (cause instanceof TouchstoneError || !(cause instanceof Error)) throw cause
    throw new TouchstoneError('usage.file', `the audit log cannot be read: ${cause.message}`, { cause })
  }
}

function render(report: Rendered): string {
  const out = process.stdout
  const lines = [
    `${report.entries} entries${report.from === undefined ? '' : `, ${report.from} to ${report.to ?? ''}`}`,
  ]
  if (report.head !== undefined) lines.push(`head ${report.head}`)
  if (report.uncleanStarts > 0) lines.push(`${report.uncleanStarts} starts after a broker that did not end in order`)
  if (report.countedRefusals > 0)
    lines.push(`${report.countedRefusals} refusals counted, beyond the budget of their tenants`)
  if (report.lostEntries > 0)
    lines.push(`${report.lostEntries} entries counted and not written, while the disk was full`)
  lines.push(...report.chains.flatMap(chainLine))
  lines.push(...vouching(report))
  for (const { code, file, line, message } of report.problems) {
    const where = line === undefined ? file : `${file}:${line}`
    lines.push(`${paint(out, 'red', 'error')} ${printable(where)}: ${printable(message)} [${code}]`)
  }
  if (report.problems.length === 0) lines.push(paint(out, 'green', 'every entry is as it was written'))
  return lines.join('\n')
}

const CHAIN_WIDTH = 24

function chainLine({ chain, entries, from, vouched }: Rendered['chains'][number]): string[] {
  if (from === undefined) return []
  const name = chain === '.' ? 'node' : chain
  const authentic = vouched === undefined ? '' : `, ${vouched} of them vouched for`
  return [`  ${printable(name).padEnd(CHAIN_WIDTH)}${entries} since ${from}${authentic}`]
}

/** What the checkpoints say, in words. */
function vouching({ entries, vouched, checkpoints }: Rendered): string[] {
  if (vouched === undefined)
    return checkpoints === 0 ? [] : [`${checkpoints} checkpoints, not checked: the broker has their key`]
  if (vouched >= entries) return []
  return [
    `${entries - vouched} entries that no checkpoint vouches for: of a broker whose secrets were locked, of the last ten minutes, of the ten before a crash, or not written by the broker`,
  ]
}
