/** A glob in pieces: states of a small automaton, one a character of the pattern. */
export interface Glob {
  readonly text: string
  /** Whether a path matches. At most one step of `size / 32` words a character of the path, whatever the two are. */
  matches(path: string): boolean
}

export const MAX_GLOB = 256

const SLASH = 0x2f

/**
 * `*` is any run of characters within one component of a path, `**` any run at all, `?` one character that is no slash;
 * a backslash takes the next character as it is. All states are followed at once, so that no pattern makes a path take
 * long: a regular expression could. Characters are those of the text as given; for bytes, give both as Latin-1.
 */
export function compileGlob(text: string): Glob {
  const tokens = tokensOf(text)
  const prefix = literalPrefix(tokens)
  const words = (tokens.length >>> 5) + 1
  if (tokens.length === prefix.length) return { text, matches: (path) => path === prefix }
  const [last] = tokens.slice(prefix.length)
  if (last === ANY && tokens.length === prefix.length + 1) return { text, matches: (path) => path.startsWith(prefix) }
  return {
    text,
    matches(path) {
      if (!path.startsWith(prefix)) return false
      let states = new Uint32Array(words)
      let next = new Uint32Array(words)
      reach(tokens, states, prefix.length)
      for (let at = prefix.length; at < path.length; at++) {
        next.fill(0)
        if (!step(tokens, states, next, path.charCodeAt(at))) return false
        ;[states, next] = [next, states]
      }
      return has(states, tokens.length)
    },
  }
}

const ANY = 'any'
const WITHIN = 'within'
const ONE = 'one'

/** A character code, or one of the wildcards. */
type Token = number | typeof ANY | typeof WITHIN | typeof ONE

function tokensOf(text: string): Token[] {
  const tokens: Token[] = []
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '\\' && at + 1 < text.length) {
      at += 1
      tokens.push(text.charCodeAt(at))
    } else if (char === '?') tokens.push(ONE)
    else if (char !== '*') tokens.push(text.charCodeAt(at))
    else if (text[at + 1] === '*') {
      while (text[at + 1] === '*') at += 1
      tokens.push(ANY)
    } else tokens.push(WITHIN)
  }
  return tokens
}

function literalPrefix(tokens: readonly Token[]): string {
  const end = tokens.findIndex((token) => typeof token !== 'number')
  const literal = end < 0 ? tokens : tokens.slice(0, end)
  return String.fromCharCode(...literal.filter((token) => typeof token === 'number'))
}

/** The state, and those behind it that need no character. */
function reach(tokens: readonly Token[], states: Uint32Array, state: number): void {
  let at = state
  set(states, at)
  while (tokens[at] === ANY || tokens[at] === WITHIN) {
    at += 1
    set(states, at)
  }
}

function step(tokens: readonly Token[], states: Uint32Array, next: Uint32Array, char: number): boolean {
  let alive = false
  for (let word = 0; word < states.length; word++) {
    for (let bits = states[word] ?? 0; bits !== 0; bits &= bits - 1) {
      const state = word * 32 + (31 - Math.clz32(bits & -bits))
      const token = tokens[state]
      const stays = token === ANY || (token === WITHIN && char !== SLASH)
      if (stays) reach(tokens, next, state)
      else if (token === char || (token === ONE && char !== SLASH)) reach(tokens, next, state + 1)
      else continue
      alive = true
    }
  }
  return alive
}

function set(states: Uint32Array, state: number): void {
  states[state >>> 5] = (states[state >>> 5] ?? 0) | (1 << (state & 31))
}

function has(states: Uint32Array, state: number): boolean {
  return ((states[state >>> 5] ?? 0) & (1 << (state & 31))) !== 0
}
