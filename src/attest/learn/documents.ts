import { Document } from 'yaml'
import { toRfc3339 } from '../../core/index.ts'
import type { ReplayBank } from '../../eventlog/index.ts'
import { writeJsonSet } from '../json-reference.ts'
import { looksLikeJson } from '../json-text.ts'

/** One entry of a reference set that was learned. */
export interface LearnedEntry {
  readonly value: string
  /** What it is, for people. */
  readonly label?: string
  /** For files in IMA logs: where it lies; a glob, so its own characters of a glob stand behind a backslash. */
  readonly path?: string
}

export interface LearnedDocument {
  readonly kind: 'AttestationPolicy' | 'ReferenceSet'
  readonly name: string
  /** YAML, without a marker before it; JSON where it is large. */
  readonly text: string
}

/** Something that whoever learned has to know. `warning`: without it, the documents say less or more than one would think. */
export interface LearnedNote {
  readonly severity: 'info' | 'warning'
  readonly message: string
}

/** What was learned: the policy first, then the sets that it names. */
export interface Learned {
  readonly documents: readonly LearnedDocument[]
  readonly notes: readonly LearnedNote[]
}

export interface LearnTerms {
  /** What the documents are called, or begin with. */
  readonly name: string
  readonly bank: ReplayBank
  /** Of every entry of reference sets. */
  readonly state: 'active' | 'candidate'
  /** When it is learned, milliseconds since the Unix epoch. */
  readonly now: number
}

/** Where the values of reference sets come from. */
export interface LearnedFrom {
  readonly kind: 'image' | 'corim' | 'rim' | 'package'
  readonly source: string
}

/** Each value in its own place: policies have no aliases. */
const AS_WRITTEN = { aliasDuplicateObjects: false } as const

/** Bytes and entries of one text: below what `readYaml` takes, 1 MiB and 50,000 values; and of one in JSON. */
const IN_YAML = { bytes: 900_000, entries: 5000 }
const IN_JSON = { bytes: 30_000_000, entries: 200_000 }
const MAX_LABEL = 512
const MAX_DESCRIPTION = 4096
const MAX_SOURCE = 1024

/** A policy, with comments above it. */
export function policyDocument(
  name: string,
  description: string,
  spec: Readonly<Record<string, unknown>>,
  comments: readonly string[] = [],
): LearnedDocument {
  const document = new Document(
    {
      apiVersion: 'touchstone/v1',
      kind: 'AttestationPolicy',
      metadata: { name, description: description.slice(0, MAX_DESCRIPTION) },
      spec,
    },
    AS_WRITTEN,
  )
  if (comments.length > 0) document.commentBefore = comments.map((comment) => ` ${oneLine(comment)}`).join('\n')
  return { kind: 'AttestationPolicy', name, text: document.toString({ lineWidth: 0 }) }
}

/**
 * A reference set with these entries: in YAML, or, where it would be too large for that, in JSON; several, `name`, `name-2`, …,
 * where one would be more than is read. Entries that are there twice are there once. O(n).
 */
export function referenceSets(
  name: string,
  description: string,
  given: readonly LearnedEntry[],
  { kind, source }: LearnedFrom,
  { state, now }: LearnTerms,
): LearnedDocument[] {
  const distinct = new Map<string, LearnedEntry>()
  for (const entry of given) {
    const key = `${entry.value}\0${entry.path ?? ''}`
    if (!distinct.has(key)) distinct.set(key, entry)
  }
  const all = [...distinct.values()]
  const isSmall = all.length <= IN_YAML.entries && all.reduce((sum, entry) => sum + sizeOf(entry), 0) <= IN_YAML.bytes
  return pagesOf(all, isSmall ? IN_YAML : IN_JSON).map((entries, index) => {
    const called = index === 0 ? name : `${name}-${index + 1}`
    const set = {
      apiVersion: 'touchstone/v1',
      kind: 'ReferenceSet',
      metadata: { name: called, description: description.slice(0, MAX_DESCRIPTION) },
      spec: {
        provenance: { kind, source: oneLine(source).slice(0, MAX_SOURCE), at: toRfc3339(now) },
        entries: entries.map((entry) => written(entry, state)),
      },
    } as const
    const text = isSmall ? new Document(set, AS_WRITTEN).toString({ lineWidth: 0 }) : writeJsonSet(set)
    return { kind: 'ReferenceSet', name: called, text }
  })
}

function pagesOf(entries: readonly LearnedEntry[], most: typeof IN_YAML): LearnedEntry[][] {
  const pages: LearnedEntry[][] = []
  let size = Infinity
  for (const entry of entries) {
    const bytes = sizeOf(entry)
    const page = pages.at(-1)
    if (page === undefined || page.length >= most.entries || size + bytes > most.bytes) {
      pages.push([entry])
      size = bytes
    } else {
      page.push(entry)
      size += bytes
    }
  }
  return pages
}

/** At most, as it is written: YAML escapes what JSON does, and a little more. */
function sizeOf({ value, label = '', path = '' }: LearnedEntry): number {
  const texts = [value, label.slice(0, MAX_LABEL), path].map((text) => Buffer.byteLength(JSON.stringify(text)))
  return 96 + texts.reduce((sum, size) => sum + size, 0)
}

function written({ value, label = '', path }: LearnedEntry, state: LearnTerms['state']) {
  const text = oneLine(label).slice(0, MAX_LABEL).toWellFormed().trim()
  return { value, ...(text === '' ? {} : { label: text }), ...(path === undefined ? {} : { path }), state }
}

/** Texts of files stay within their line. */
export function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ')
}

/**
 * The documents as texts, each of which can be read as a whole; one text where all fit. Sets are never cut, so a text is as
 * large as its largest one.
 */
export function joinDocuments(documents: readonly LearnedDocument[]): string[] {
  const texts: string[] = []
  let size = Infinity
  let lines = Infinity
  // What is in JSON is a text by itself.
  const [alone, joined] = [
    documents.filter(({ text }) => looksLikeJson(text)),
    documents.filter(({ text }) => !looksLikeJson(text)),
  ]
  for (const { text } of joined) {
    const bytes = Buffer.byteLength(text)
    // A line has two values at most, its key and what it says.
    const count = text.split('\n').length
    if (size + bytes > 1_000_000 || lines + count > 22_000) {
      texts.push(text)
      size = bytes
      lines = count
    } else {
      texts.push(`${texts.pop() ?? ''}---\n${text}`)
      size += bytes
      lines += count
    }
  }
  return [...texts, ...alone.map(({ text }) => text)]
}
