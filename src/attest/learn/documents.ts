import { Document } from 'yaml'
import { toRfc3339 } from '../../core/index.ts'
import type { ReplayBank } from '../../eventlog/index.ts'

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
  /** YAML, without a marker before it. */
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

/** Bytes and entries of one text: below what `readYaml` takes, 1 MiB and 50,000 values. */
const MAX_TEXT = 900_000
const MAX_ENTRIES = 5000
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
 * Reference sets with these entries: one, or several, `name`, `name-2`, …, where one would be more than is read. Entries that are
 * there twice are there once. O(n).
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
  const pages: LearnedEntry[][] = []
  let size = Infinity
  for (const entry of distinct.values()) {
    const bytes = sizeOf(entry)
    const page = pages.at(-1)
    if (page === undefined || page.length >= MAX_ENTRIES || size + bytes > MAX_TEXT) {
      pages.push([entry])
      size = bytes
    } else {
      page.push(entry)
      size += bytes
    }
  }
  return pages.map((entries, index) => {
    const called = index === 0 ? name : `${name}-${index + 1}`
    const document = new Document(
      {
        apiVersion: 'touchstone/v1',
        kind: 'ReferenceSet',
        metadata: { name: called, description: description.slice(0, MAX_DESCRIPTION) },
        spec: {
          provenance: { kind, source: oneLine(source).slice(0, MAX_SOURCE), at: toRfc3339(now) },
          entries: entries.map((entry) => written(entry, state)),
        },
      },
      AS_WRITTEN,
    )
    return { kind: 'ReferenceSet', name: called, text: document.toString({ lineWidth: 0 }) }
  })
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
  for (const { text } of documents) {
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
  return texts
}
