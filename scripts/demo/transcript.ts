import { clearLine, cursorTo } from 'node:readline'

/** What the demo shows: chapters, steps with their time, and what a step found. Colours and a spinner on terminals only. */
export interface Transcript {
  chapter(number: number, title: string, about: string): void
  /** Shows `label` while `work` runs, then a tick and the time it took. `progress` replaces what is shown meanwhile. */
  step<T>(label: string, work: (progress: (text: string) => void) => Promise<T>): Promise<T>
  note(text: string): void
  /** The first line says what, the others begin with a name of ten columns. */
  verdict(status: string, lines: readonly string[]): void
  /** Somebody tried something, and why it came to nothing. */
  refused(what: string, why: string): void
  fact(name: string, value: string): void
  /** Of a command, as it prints it. */
  output(lines: readonly string[]): void
}

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const
const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']

export function createTranscript(stream: NodeJS.WriteStream): Transcript {
  const colourful = process.env['FORCE_COLOR'] !== undefined || (stream.isTTY && process.env['NO_COLOR'] === undefined)
  const paint = (colour: keyof typeof CODES, text: string) =>
    colourful ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text
  const write = (text: string) => stream.write(`${text}\n`)
  // A serial console says 0 columns.
  const width = Math.max(60, Math.min((stream.isTTY && stream.columns) || 110, 110))

  function spin(label: string): { say(text: string): void; end(): void } {
    if (!stream.isTTY) return { say: () => undefined, end: () => undefined }
    let text = label
    let frame = 0
    const draw = () => {
      clearLine(stream, 0)
      cursorTo(stream, 0)
      stream.write(`   ${paint('cyan', SPINNER[frame++ % SPINNER.length] ?? '')} ${text.slice(0, width - 6)}`)
    }
    draw()
    const timer = setInterval(draw, 80)
    return {
      say: (next) => {
        text = next
      },
      end() {
        clearInterval(timer)
        clearLine(stream, 0)
        cursorTo(stream, 0)
      },
    }
  }

  return {
    chapter(number, title, about) {
      write('')
      write(`${paint('bold', `${number}  ${title}`)}  ${paint('dim', about)}`)
    },
    async step(label, work) {
      const started = performance.now()
      const spinner = spin(label)
      try {
        const value = await work((text) => spinner.say(`${label}: ${text}`))
        spinner.end()
        const took = `${((performance.now() - started) / 1000).toFixed(1)} s`
        write(`   ${paint('green', '✓')} ${label.padEnd(width - 14)} ${paint('dim', took.padStart(7))}`)
        return value
      } catch (error) {
        spinner.end()
        write(`   ${paint('red', '✗')} ${label}`)
        throw error
      }
    },
    note: (text) => void write(`     ${paint('dim', text)}`),
    verdict(status, lines) {
      const colour = status === 'affirming' ? 'green' : status === 'warning' ? 'yellow' : 'red'
      const [title = '', ...rest] = lines
      write(`   ${paint(colour, '●')} ${paint(colour, status.padEnd(16))} ${title}`)
      for (const line of rest) {
        wrap(line.slice(10), width - 22).forEach((part, at) => {
          write(`${' '.repeat(9)}${paint('dim', at === 0 ? line.slice(0, 10) : ' '.repeat(10))}${part}`)
        })
      }
    },
    refused(what, why) {
      write(`   ${paint('yellow', '⊘')} ${what}`)
      for (const [at, line] of wrap(why, width - 22).entries()) {
        write(`${' '.repeat(9)}${paint('dim', (at === 0 ? 'refused' : '').padEnd(10))}${line}`)
      }
    },
    output(lines) {
      for (const line of lines) {
        const removed = line.replace(/\[-.*?(?:-\]|$)|^.*?-\]/g, (text) => paint('red', text))
        write(`     ${removed.replace(/\{\+.*?(?:\+\}|$)|^[^{]*?\+\}/g, (text) => paint('green', text))}`)
      }
    },
    fact(name, value) {
      wrap(value, width - 26).forEach((line, at) => {
        write(`     ${paint('dim', (at === 0 ? name : '').padEnd(20))} ${line}`)
      })
    },
  }
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + word.length + 1 > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return line === '' ? lines : [...lines, line]
}
