import { Command } from 'commander'
import { describeEventLog, type EventLogDescription } from '../eventlog/index.ts'
import { bootPicture } from './boot-picture.ts'
import { EXIT } from './failure.ts'
import { MAX_LOG, readInput } from './files.ts'
import { diffCommand } from './log-diff.ts'
import { paint, parseOutputFormat, printable, printObject } from './output.ts'
import { wrapped } from './screen.ts'

const SUMMARY_WIDTH = 100
const LEAST_SUMMARY = 24
/** What a type of event may take where the screen is narrow, and otherwise. */
const TYPE_WIDTHS = { narrow: 22, usual: 34 } as const
const NARROW = 110

export function logCommand(finish: (code: number) => void): Command {
  const show = new Command('show')
    .description('What an event log says: the boot from firmware to userspace, findings, events, PCR values.')
    .argument('<file>', 'an event log of any format, as the kernel, a program or a verifier has it')
    .option('--userspace-log <file>', "systemd's tpm2-measure.log, which goes on where that of the firmware ends")
    .option('-o, --output <format>', 'json, yaml or wide (all digests)')
    .option('--json', 'the same as -o json')
    .addHelpText(
      'after',
      `
Nothing here is authenticated: only a quote says that this is what happened. The binding of an event says whether its
digest covers what is shown: bound, mismatch (it contradicts), unbound (it does not), none (never measured).

Example:
  touchstone log show /sys/kernel/security/tpm0/binary_bios_measurements \\
    --userspace-log /run/log/systemd/tpm2-measure.log`,
    )
    .action(async (file: string, options: { userspaceLog?: string; output?: string; json?: boolean }) => {
      const { userspaceLog } = options
      const userspace = userspaceLog === undefined ? undefined : await readInput(userspaceLog, MAX_LOG)
      const description = describeEventLog(await readInput(file, MAX_LOG), userspace)
      const format = parseOutputFormat(options)
      printObject(format, description, () => render(description, format === 'wide'))
      finish(EXIT.done)
    })
  return new Command('log').description('Look into event logs.').addCommand(show).addCommand(diffCommand(finish))
}

const BINDING_COLOURS = { bound: 'green', mismatch: 'red', unbound: 'yellow', none: 'dim' } as const
const SEVERITY_COLOURS = { info: 'dim', warning: 'yellow', error: 'red' } as const

function cut(text: string, room: number): string {
  return text.length <= room ? text : `${text.slice(0, room - 1)}…`
}

function render(log: EventLogDescription, wide: boolean): string {
  const out = process.stdout
  const bold = (text: string) => paint(out, 'bold', text)
  const lines = [`${bold(log.format)} log, ${log.events.length} events, banks ${log.banks.join(', ')}`, '']
  lines.push(
    ...(log.boot === null
      ? ['Nothing can be said of the boot: no bank of this log can be replayed.']
      : bootPicture(log.boot, wide)),
    '',
  )
  if (log.findings.length > 0) lines.push(bold('Findings'))
  for (const finding of log.findings) {
    const where = finding.event === undefined ? '' : ` event ${finding.event}:`
    const text = `${printable(finding.message)} [${finding.code}]`
    const severity = paint(out, SEVERITY_COLOURS[finding.severity], finding.severity.padEnd(7))
    // Whoever reads a pipe wants a line each.
    const [first = '', ...more] = out.isTTY
      ? wrapped(`${where} ${text}`.trimStart(), ' '.repeat(10), (each) => each)
      : []
    lines.push(out.isTTY ? `  ${severity} ${first.trimStart()}` : `  ${severity}${where} ${text}`, ...more)
  }
  if (log.findings.length > 0) lines.push('')
  const typeWidth = !wide && out.isTTY && out.columns < NARROW ? TYPE_WIDTHS.narrow : TYPE_WIDTHS.usual
  const summaryWidth = out.isTTY ? Math.max(out.columns - typeWidth - 21, LEAST_SUMMARY) : SUMMARY_WIDTH
  lines.push(
    bold(`  #  ${log.registers === 'pcr' ? 'PCR' : 'REG'}  ${'TYPE'.padEnd(typeWidth)} ${'BINDING'.padEnd(9)} CONTENT`),
  )
  for (const event of log.events) {
    const summary = printable(event.summary)
    const shown = wide ? summary : cut(summary, summaryWidth)
    const binding = paint(out, BINDING_COLOURS[event.binding], event.binding.padEnd(9))
    lines.push(
      `${String(event.index).padStart(3)}  ${String(event.pcr).padStart(3)}  ${cut(event.type, typeWidth).padEnd(typeWidth)} ${binding} ${shown}`,
    )
    if (wide)
      for (const [bank, digest] of Object.entries(event.digests))
        lines.push(`${' '.repeat(10)}${paint(out, 'dim', `${bank} ${digest}`)}`)
  }
  for (const [bank, registers] of Object.entries(log.pcrs)) {
    lines.push('', bold(`${log.registers === 'pcr' ? 'PCRs' : 'Registers'} in ${bank}, replayed`))
    for (const [register, value] of Object.entries(registers)) lines.push(`${register.padStart(4)}  ${value}`)
  }
  return lines.join('\n')
}

/** What a person asks first; `--json` has all claims, and why those are unknown that are. */
