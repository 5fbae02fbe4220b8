import { isDeepStrictEqual } from 'node:util'
import { parseResources, PolicyError } from '../../../src/attest/index.ts'
import { readJson, type JsonText } from '../../../src/attest/json-text.ts'
import { mutateJson } from '../mutate/json.ts'
import { BrokenPromise, type Target } from '../target.ts'

type Path = readonly (string | number)[]

/** Of long lists the first are enough. */
const PLACES = 40

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value)
}

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|[^\s"{}[\]:,]+/g

/**
 * What the engine's own reader has, of the text with every number and word in quotes, since they are to stay as written.
 * Names are in hexadecimal: of one that has an escape the engine may make the name that stood there in a text before it
 * (V8 13.6: `{"\\u0042": 1}` after `{"\\\\": 1}`).
 */
function oracle(text: string): unknown {
  const quoted = text.replaceAll(TOKEN, (token, string?: string, colon?: string) => {
    if (string === undefined) return JSON.stringify(token)
    return colon === undefined ? token : `"x${Buffer.from(unquoted(string), 'utf16le').toString('hex')}":`
  })
  const value: unknown = JSON.parse(quoted)
  return named(value)
}

function unquoted(string: string): string {
  const value: unknown = JSON.parse(string)
  return String(value)
}

function named(value: unknown): unknown {
  if (isList(value)) return value.map(named)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [Buffer.from(name.slice(1), 'hex').toString('utf16le'), named(each)]),
  )
}

/** Names as written and names that are left: fewer are left where some occur twice. */
function namesOf(text: string): number {
  return [...text.matchAll(TOKEN)].filter(([, , colon]) => colon !== undefined).length
}

function walk(value: unknown, path: Path, visit: (value: unknown, path: Path) => void): void {
  visit(value, path)
  const entries: readonly (readonly [string | number, unknown])[] = isList(value)
    ? value.map((each, at) => [at, each] as const)
    : typeof value === 'object' && value !== null
      ? Object.entries(value)
      : []
  for (const [step, each] of entries) walk(each, [...path, step], visit)
}

function hold(isTrue: boolean, promise: string): void {
  if (!isTrue) throw new BrokenPromise(promise)
}

/** Every place is where a value begins that reads as the one there, and every name where it is written. */
function holdPlaces(text: string, json: JsonText, value: unknown): void {
  let places = 0
  walk(value, [], (each, path) => {
    places += 1
    if (places > PLACES) return
    const at = json.offsetOf(path)
    const step = path.at(-1)
    const parent = path.slice(0, -1)
    if (typeof step === 'string' && !isList(valueAt(value, parent))) {
      hold(readsAs(text, json.offsetOf(parent, step), step), 'a name is said to be where it is not')
    }
    if (typeof each !== 'string') {
      hold(text.charAt(at) === (isList(each) ? '[' : '{'), 'a list or map is said to be where it is not')
    } else if (text.charAt(at) !== '"') {
      hold(text.startsWith(each, at), 'a number or word is said to be where it is not')
    } else {
      hold(readsAs(text, at, each), 'a text is said to be where it is not')
      const middle = each.length >> 1
      const before: unknown = JSON.parse(`"${text.slice(at + 1, json.offsetWithin(path, middle))}"`)
      hold(before === each.slice(0, middle), 'a character of a text is said to be where it is not')
    }
  })
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce(
    (each: unknown, step) => (typeof each === 'object' && each !== null ? Reflect.get(each, step) : each),
    value,
  )
}

function readsAs(text: string, at: number, expected: string): boolean {
  const [written] = /^"(?:[^"\\]|\\.)*"/.exec(text.slice(at)) ?? []
  return written !== undefined && unquoted(written) === expected
}

function parsed(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function holdReading(text: string): string {
  const json = readJson(text)
  hold((json !== undefined) === parsed(text), 'the engine does not agree on whether this is JSON')
  if (json === undefined) return 'no JSON'
  if ('problem' in json && !json.problem.startsWith('keys')) return json.problem.replaceAll(/\d+/g, '')
  const value = oracle(text)
  let names = 0
  walk(value, [], (each) => {
    if (typeof each === 'object' && each !== null && !isList(each)) names += Object.keys(each).length
  })
  hold('problem' in json === names < namesOf(text), 'the engine does not agree on whether a name occurs twice')
  if ('problem' in json) return json.problem
  hold(isDeepStrictEqual(json.value, value), 'the engine reads another value')
  holdPlaces(text, json, value)
  return 'JSON'
}

function resourcesOf(text: string): string[] {
  try {
    return parseResources(text).map(({ kind }) => `resource ${kind}`)
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error
    return error.faults.map(({ path, message }) =>
      `${path.replaceAll(/[^a-zA-Z.]+/g, '')}: ${message.replaceAll(/["'`\d].*/g, '')}`.slice(0, 80),
    )
  }
}

const DIGEST = '0123456789abcdef'.repeat(4)
const HEAD = { apiVersion: 'touchstone/v1', kind: 'ReferenceSet' }
const SETS = [
  {
    ...HEAD,
    metadata: { name: 'files' },
    spec: {
      entries: [
        { value: DIGEST, label: 'a "q" \\ \n é' },
        { value: DIGEST, path: '/b', state: 'revoked' },
      ],
    },
  },
  { ...HEAD, metadata: { name: 'empty', labels: {} }, spec: { entries: [] } },
  { a: [1.1, -0, 1e300, true, null, [[], {}]], ' ': '\u2028\u0000', '': { __proto: 1 } },
]

export const jsonTarget: Target = {
  name: 'json',
  promise: 'a document in JSON is read as the engine reads it, and every value and name is where it is said to be',
  seeds: () => SETS.flatMap((set) => [undefined, 2].map((space) => Buffer.from(JSON.stringify(set, null, space)))),
  mutate: mutateJson,
  run(input) {
    const text = input.toString('utf8')
    return { features: [holdReading(text), ...resourcesOf(text)] }
  },
}
