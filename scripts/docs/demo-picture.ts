import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Runs the demo and draws what a terminal shows of some of its chapters: docs/demo.svg, the picture in the README. The others
 * are named where they are left out, so that the picture can be looked at without scrolling for ever.
 */

const CHAPTERS = ['3', '4', '5', '6', '10']

const FONT_SIZE = 13
const LINE = 18
const COLUMN = 7.83
const MARGIN = 20
const BAR = 34
const COLUMNS = 112

const STYLES: Readonly<Record<string, string>> = {
  '1': 'font-weight="bold" fill="#f0f6fc"',
  '2': 'fill="#8b949e"',
  '31': 'fill="#ff7b72"',
  '32': 'fill="#7ee787"',
  '33': 'fill="#e3b341"',
  '36': 'fill="#79c0ff"',
}
const LIGHTS = ['#ff5f56', '#ffbd2e', '#27c93f']

const root = join(import.meta.dirname, '..', '..')
const run = spawnSync(process.execPath, [join(root, 'scripts/demo/main.ts')], {
  encoding: 'utf8',
  env: { ...process.env, FORCE_COLOR: '1' },
})
if (run.status !== 0) throw new Error(run.stderr)

const lines = ['\u001b[2m$ \u001b[0mnpm run demo', ...chosen(run.stdout.trimEnd().split('\n'))]
const height = lines.length * LINE + 2 * MARGIN + BAR
const width = Math.round(COLUMNS * COLUMN + 2 * MARGIN)
const text = lines.map(
  (line, at) => `<text x="${MARGIN}" y="${BAR + MARGIN + (at + 1) * LINE - 5}">${spans(line)}</text>`,
)
const lights = LIGHTS.map((fill, at) => `<circle cx="${MARGIN + 4 + at * 20}" cy="${BAR / 2}" r="6" fill="${fill}"/>`)
writeFileSync(
  join(root, 'docs', 'demo.svg'),
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10" fill="#0d1117" stroke="#30363d"/>
<path d="M0.5 ${BAR}V10.5a10 10 0 0 1 10 -10H${width - 10.5}a10 10 0 0 1 10 10V${BAR}z" fill="#161b22" stroke="#30363d"/>
${lights.join('')}
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${FONT_SIZE}" fill="#c9d1d9">
${text.join('\n')}
</g>
</svg>
`,
)

/** The chosen chapters, and one line for those between them. */
function chosen(all: readonly string[]): readonly string[] {
  const shown: string[] = []
  const left: string[] = []
  let isShown = false
  for (const line of all) {
    const [, number, title] = /^\u001b\[1m(\d+) {2}(.*?)\u001b\[0m/.exec(line) ?? []
    if (number !== undefined && title !== undefined) {
      isShown = CHAPTERS.includes(number)
      if (isShown) shown.push(...leftOut(left.splice(0)), '')
      else left.push(`${number} ${title}`)
    }
    if (isShown && line !== '') shown.push(line)
  }
  return [...shown, ...leftOut(left)]
}

function leftOut(titles: readonly string[]): readonly string[] {
  return titles.length === 0 ? [] : ['', `\u001b[2m   …  ${titles.join(', ')}\u001b[0m`]
}

function spans(line: string): string {
  const parts = line.split(/\u001b\[(\d+)m/)
  let style = ''
  return parts
    .map((part, at) => {
      if (at % 2 === 1) {
        style = STYLES[part] ?? ''
        return ''
      }
      const content = part
        .replaceAll('&', '&amp;')
        .replaceAll('<', '&lt;')
        .replaceAll('>', '&gt;')
        .replaceAll(' ', '\u00a0')
      return content === '' ? '' : `<tspan ${style}>${content}</tspan>`
    })
    .join('')
}
