import type { Random } from '../random.ts'
import { MAX_INPUT, mutateBytes, type Mutation } from './bytes.ts'

const WORDS = [
  'null',
  '~',
  'true',
  '1.10',
  '0x10',
  '1e999',
  '-1',
  '99999999999999999999',
  '""',
  '[]',
  '{}',
  '[[[[',
  '{a: {a: {a: ',
  '&a [*a]',
  '*a',
  '!!binary',
  '<<: *a',
  '? ',
  '- - - -',
  '|',
  '>',
  '\t',
  '\u0000',
  '\u202e',
  '__proto__',
  'constructor',
  'sha256:0-15',
  'sha256:99',
  'sha1:all',
  'any',
  'a'.repeat(2000),
  'matches(',
  "boot.kernel.commandLine == ''",
  '%',
  '${actual}',
  '{{actual}}',
  '2026-01-01T00:00:00Z',
  '9999-99-99',
  'ab'.repeat(32),
  '---',
  '...',
]

function onLines(change: (lines: string[], random: Random, other: readonly string[]) => void): Mutation {
  return (input, random, other) => {
    const lines = input.toString('utf8').split('\n')
    change(lines, random, other.toString('utf8').split('\n'))
    return Buffer.from(lines.join('\n'))
  }
}

/** Words of the language, lines and indentation: what people mistype, and what they would not. */
const CHANGES: readonly Mutation[] = [
  onLines((lines, random) => void lines.splice(random.below(lines.length), 1)),
  onLines((lines, random) => void lines.splice(random.below(lines.length), 0, random.pick(lines))),
  onLines((lines, random, other) => void lines.splice(random.below(lines.length), 0, random.pick(other))),
  onLines((lines, random) => {
    const at = random.below(lines.length)
    lines[at] = ' '.repeat(random.below(12)) + (lines[at] ?? '').trimStart()
  }),
  onLines((lines, random) => {
    const at = random.below(lines.length)
    lines[at] = (lines[at] ?? '').replace(/:.*$/, `: ${random.pick(WORDS)}`)
  }),
  onLines((lines, random) => {
    const at = random.below(lines.length)
    const words = (lines[at] ?? '').split(' ')
    words[random.below(words.length)] = random.pick(WORDS)
    lines[at] = words.join(' ')
  }),
  onLines((lines, random) => {
    const at = random.below(lines.length)
    lines[at] = (lines[at] ?? '').replace(/[a-zA-Z]+/, random.pick(WORDS))
  }),
  (input, random) =>
    Buffer.from(
      `${random.pick(['[', '{a: ', '- ', '("', '!(']).repeat(random.pick([10, 10, 100, 5_000]))}${input.toString('utf8')}`,
    ),
  mutateBytes,
]

export const mutateText: Mutation = (input, random, other) =>
  random.pick(CHANGES)(input, random, other).subarray(0, MAX_INPUT)
