import type { BootClaims } from '../eventlog/index.ts'
import { fitted, unknownLine, type PictureLine } from './boot-picture-lines.ts'
import { stagesOf, type Stage } from './boot-picture-stages.ts'
import { paint, printable } from './output.ts'

const NAME = 12
const LABEL = 15
/** Columns below which the legend is not indented. */
const NARROW = 90
/** What a screen has where nobody can be asked. */
const USUAL_WIDTH = 120

/** A boot on one screen, from the firmware to userspace: what is known, what is only said, and what is not known. */
export function bootPicture(boot: BootClaims, wide: boolean): string[] {
  const out = process.stdout
  const width = Math.max(out.isTTY ? out.columns : USUAL_WIDTH, 60)
  const stages = gathered(stagesOf(boot))
  if (stages === undefined) return ['Of the boot before it, this log says nothing.']
  const lines = stages.flatMap(({ name, lines: own }) =>
    own.flatMap((each, at) => {
      const texts = fitted(printable(each.text), each.fit, wide ? Infinity : width - NAME - LABEL - 4)
      return texts.map((text, row) => {
        const head = paint(out, 'bold', (at === 0 && row === 0 ? name : '').padEnd(NAME))
        const label = (row === 0 ? each.label : '').padEnd(LABEL)
        return `${head} ${label} ${row === 0 ? markOf(each) : ' '} ${painted(each, text)}`.trimEnd()
      })
    }),
  )
  return [
    ...lines,
    '',
    paint(
      out,
      'dim',
      `${' '.repeat(width < NARROW ? 0 : NAME)} ~ only said: no digest vouches for it    ? not known, which is not "no"`,
    ),
  ]
}

/** A log of one part of a boot says nothing of the others: one line for all of them. */
const MOST_EMPTY = 2

function gathered(stages: readonly Stage[]): readonly Stage[] | undefined {
  const empty = stages.filter(({ lines }) => lines.every(({ kind }) => kind === 'unknown'))
  if (empty.length === stages.length) return undefined
  if (empty.length <= MOST_EMPTY) return stages
  const names = empty.map(({ name }) => name).join(', ')
  const rest: Stage = { name: 'Not here', lines: [unknownLine('', `${names}: this log says nothing of them`)] }
  return [...stages.filter((stage) => !empty.includes(stage)), rest]
}

function markOf({ kind }: PictureLine): string {
  if (kind === 'unknown') return paint(process.stdout, 'dim', '?')
  return kind === 'said' ? paint(process.stdout, 'yellow', '~') : ' '
}

function painted({ kind, alarm }: PictureLine, text: string): string {
  if (alarm === true) return paint(process.stdout, 'red', text)
  return kind === 'unknown' ? paint(process.stdout, 'dim', text) : text
}
