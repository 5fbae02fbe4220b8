import { MAX_INPUT, mutateBytes, type Mutation } from './bytes.ts'

const VALUES = [
  '"\\u0041"',
  '"\\"\\\\\\/\\b"',
  '"\\\\"',
  '"\\ud800"',
  '"\u2028"',
  '1.10',
  '-0e+10',
  '1e999',
  'true',
  'null',
  '[]',
  '{}',
  '{"__proto__":{}}',
  '{"a":1,"a":2}',
  '{"a":1,"\\u0061":2}',
  '{"constructor":[0,1]}',
  '[ 1 , [ 2 ] ]',
  '"]"',
  '"}"',
]
const SPACES = [' ', '\t', '\r\n', '\n', '\v', '\u00a0', '\ufeff', '\u0000']

/** Where strings, numbers, words and marks are; what is between them is white space, or no JSON. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s"{}[\]:,]+/g

/** One token lost, doubled, moved or another value; white space; nesting; bytes. */
export const mutateJson: Mutation = (input, random, other) => {
  const text = input.toString('utf8')
  const tokens = [...text.matchAll(TOKEN)]
  const token = tokens[random.below(tokens.length)]
  if (token === undefined || random.chance(6)) return mutateBytes(input, random, other)
  const [word] = token
  const [before, after] = [text.slice(0, token.index), text.slice(token.index + word.length)]
  const others = [...other.toString('utf8').matchAll(TOKEN)].map(([each]) => each)
  const isScalar = !/^[{}[\]:,]$/.test(word)
  const [open = '[', close = ']'] = random.pick([
    ['[', ']'],
    ['{"a":', '}'],
    ['{"a":[', ']}'],
  ])
  const times = random.pick([1, 1, 5, 13, 2000])
  const made = [
    isScalar ? random.pick(VALUES) : '',
    isScalar ? random.pick(VALUES) : word,
    `${word}${random.pick(SPACES)}`,
    `${random.pick(SPACES)}${word}`,
    isScalar ? `${word},${random.pick(VALUES)}` : `${word}${word}`,
    isScalar ? `${word},"k":${random.pick(VALUES)}` : `,"k":1${word}`,
    others[random.below(others.length)] ?? word,
    `${open.repeat(times)}${word}${close.repeat(times)}`,
    word.replace(/[a-z]/, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`),
  ]
  return Buffer.from(`${before}${random.pick(made)}${after}`).subarray(0, MAX_INPUT)
}
