import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const ROOT = join(import.meta.dirname, '..', '..')

export interface MarkdownFile {
  /** Relative to the root of the checkout. */
  readonly path: string
  /** Without its code. */
  readonly prose: string
  /** Fenced and indented code, and spans, each by itself. */
  readonly code: readonly string[]
  readonly headings: readonly string[]
}

/** What is not of this checkout, though it lies in it. */
const FOREIGN = /^(?:node_modules|\.[^/]+|dist)\//

/** Every page of the checkout. */
export function markdownFiles(): readonly MarkdownFile[] {
  return globSync('**/*.md', { cwd: ROOT, exclude: ['node_modules/**', '.*/**', 'dist/**'] })
    .filter((path) => !FOREIGN.test(path))
    .sort()
    .map((path) => ({ path, ...parts(readFileSync(join(ROOT, path), 'utf8')) }))
}

function parts(text: string): Omit<MarkdownFile, 'path'> {
  const code: string[] = []
  const keep = (block: string) => {
    code.push(block)
    return '\n'
  }
  const unfenced = text.replace(/^( *)```[^\n]*\n(.*?)^\1```$/gms, (_, __, block: string) => keep(block))
  const unindented = unfenced.replace(/(?<=\n\n)(?: {4,}\S[^\n]*\n(?:[ \t]*\n(?= {4}))?)+/g, (block) => keep(block))
  const prose = unindented.replace(/(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)/gs, (_, __, span: string) => keep(span))
  // Spans are part of a heading, and of a link's text.
  const headings = [...unindented.matchAll(/^#{1,6} +(.+?)\s*$/gm)].map(([, heading = '']) => heading)
  return { prose, code, headings }
}

/** The anchors of a page, as the usual renderers make them: lower case, blanks to hyphens, other punctuation gone. */
export function anchorsOf({ headings }: MarkdownFile): ReadonlySet<string> {
  const seen = new Map<string, number>()
  return new Set(
    headings.map((heading) => {
      const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      const slug = text
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
        .replaceAll(' ', '-')
      const count = seen.get(slug) ?? 0
      seen.set(slug, count + 1)
      return count === 0 ? slug : `${slug}-${count}`
    }),
  )
}
