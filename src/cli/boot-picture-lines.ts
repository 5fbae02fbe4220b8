import type { Claim, ListClaim } from '../eventlog/index.ts'

/** One line of the picture of a boot: bound, only said, or why it is not known. */
export interface PictureLine {
  readonly label: string
  readonly kind: 'bound' | 'said' | 'unknown'
  readonly text: string
  /** To be seen first: somebody could do something about it, or with it. */
  readonly alarm?: boolean
  /** What does not fit: `end` is cut off, `middle` too (of a path the file counts), `wrap` goes on in the next line. */
  readonly fit?: 'end' | 'middle' | 'wrap'
}

/** The lines that a text takes on the screen. */
export function fitted(text: string, fit: PictureLine['fit'], room: number): readonly string[] {
  if (text.length <= room) return [text]
  if (fit === 'middle') return [`${text.slice(0, Math.floor(room / 3))}…${text.slice(1 - Math.ceil((room * 2) / 3))}`]
  return fit === 'wrap' ? wrapped(text, room) : [`${text.slice(0, room - 1)}…`]
}

/** At blanks where there are some, else anywhere. Nothing is lost. */
function wrapped(text: string, room: number): string[] {
  const lines: string[] = []
  let rest = text
  while (rest.length > room && lines.length < MAX_LINES) {
    const blank = rest.lastIndexOf(' ', room)
    const end = blank > room / 2 ? blank + 1 : room
    lines.push(rest.slice(0, end))
    rest = rest.slice(end)
  }
  return [...lines, rest.length <= room ? rest : `${rest.slice(0, room - 1)}…`]
}

/** Longer texts are shown whole by `-o wide`, and by `--json`. */
const MAX_LINES = 7

export function counted(count: number, one: string, more = `${one}s`): string {
  return `${count} ${count === 1 ? one : more}`
}

export function line<T>(label: string, claim: Claim<T>, text: (value: T) => string): PictureLine {
  if (claim.state === 'unknown') return unknownLine(label, claim.reason)
  return { label, kind: claim.bound ? 'bound' : 'said', text: text(claim.value) }
}

/** A list of what is bound says what may be missing; of what is only said, anything may. */
export function listLine<T>(label: string, claim: ListClaim<T>, text: (items: readonly T[]) => string): PictureLine {
  const plain = line(label, claim, text)
  if (claim.state === 'unknown' || !claim.bound || claim.complete) return plain
  return { ...plain, text: `${plain.text} and maybe more: ${claim.reason}` }
}

export function unknownLine(label: string, text: string): PictureLine {
  return { label, kind: 'unknown', text }
}

/** Enough of a digest to know it again; the events have all of it. */
export function shortDigest(digest: string): string {
  return digest.length <= 16 ? digest : `${digest.slice(0, 16)}…`
}

interface Authority {
  readonly name: string
  readonly digest: string
  readonly certificate?: { readonly subject?: string; readonly fingerprint: string }
}

export function certificateText({ name, digest, certificate }: Authority): string {
  if (certificate === undefined) return `${name}: ${shortDigest(digest)}`
  return `${name}: ${commonName(certificate.subject) ?? `certificate ${shortDigest(certificate.fingerprint)}`}`
}

/** What people call a certificate: its common name. */
export function commonName(subject: string | undefined): string | undefined {
  const [, name] = /(?:^|, )CN=(.*?)(?:, \w+=|$)/.exec(subject ?? '') ?? []
  return name ?? subject
}
