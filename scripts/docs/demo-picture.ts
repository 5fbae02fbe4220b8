import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Runs the demo and draws what a terminal shows of it: docs/demo.svg, the picture in the README. */

const FONT_SIZE = 13
const LINE = 18
const COLUMN = 7.83
const MARGIN = 16
const COLUMNS = 112

const STYLES: Readonly<Record<string, string>> = {
  '1': 'font-weight="bold"',
  '2': 'fill="#8b949e"',
  '31': 'fill="#ff7b72"',
  '32': 'fill="#7ee787"',
  '33': 'fill="#e3b341"',
  '36': 'fill="#79c0ff"',
}

const root = join(import.meta.dirname, '..', '..')
const run = spawnSync(process.execPath, [join(root, 'scripts/demo/main.ts')], {
  encoding: 'utf8',
  env: { ...process.env, FORCE_COLOR: '1' },
})
if (run.status !== 0) throw new Error(run.stderr)

const lines = ['\u001b[2m$ npm run demo\u001b[0m', ...run.stdout.trimEnd().split('\n')]
const height = lines.length * LINE + 2 * MARGIN
const width = Math.round(COLUMNS * COLUMN + 2 * MARGIN)
const text = lines.map((line, at) => `<text x="${MARGIN}" y="${MARGIN + (at + 1) * LINE - 5}">${spans(line)}</text>`)
writeFileSync(
  join(root, 'docs', 'demo.svg'),
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${FONT_SIZE}" fill="#e6edf3">
${text.join('\n')}
</g>
</svg>
`,
)

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
