import type { KeyObject } from 'node:crypto'
import { TouchstoneError } from '../../core/index.ts'
import { readCorim } from './corim.ts'
import type { CorimReference } from './corim.ts'
import { policyDocument, referenceSets } from './documents.ts'
import type { Learned, LearnedNote, LearnTerms } from './documents.ts'

/** A file of reference values that somebody else wrote. */
export interface ManifestFile {
  readonly name: string
  readonly bytes: Uint8Array
}

/**
 * The reference values of manifests (CoRIM) in the judged bank: a set for each register with a rule over it, and one for the
 * digests that a key names, which no rule can be chosen for. With `trusted` keys, every manifest must be signed by one of
 * them. Throws `decode.*`, `learn.corim`, and `learn.nothing` where no value is of the bank.
 */
export function learnManifests(
  files: readonly ManifestFile[],
  trusted: readonly KeyObject[],
  terms: LearnTerms,
): Learned {
  const { name, bank } = terms
  const notes: LearnedNote[] = []
  const references = files.flatMap((file) => {
    const { id, signed, references: found, passedOver } = readCorim(file.bytes, trusted, terms.now)
    if (!signed && trusted.length > 0) {
      throw new TouchstoneError('learn.corim', `${file.name} is not signed, and a trusted key was given`)
    }
    const others = found.filter(({ hash }) => hash !== bank)
    const what = `${file.name}: ${found.length} reference values of ${id}`
    notes.push(
      signed
        ? { severity: 'info', message: `${what}, signed by a trusted key` }
        : { severity: 'warning', message: `${what}, signed by nobody: take it from a place that you trust` },
    )
    if (others.length > 0) notes.push({ severity: 'warning', message: `left out: ${file.name}: ${banksOf(others)}` })
    if (passedOver > 0) {
      notes.push({
        severity: 'warning',
        message: `left out: ${file.name}: ${passedOver} measurements without a digest that a TPM has`,
      })
    }
    return found.filter(({ hash }) => hash === bank).map((reference) => ({ ...reference, id }))
  })
  if (references.length === 0) {
    throw new TouchstoneError(
      'learn.nothing',
      `there is no reference value of ${bank} in ${files.map((file) => file.name).join(', ')}`,
    )
  }
  const registers = [...new Set(references.flatMap(({ register }) => (register === undefined ? [] : [register])))].sort(
    (a, b) => a - b,
  )
  const ids = [...new Set(references.map(({ id }) => id))].join(', ')
  const from = { kind: 'corim', source: files.map((file) => file.name).join(', ') } as const
  const measured = registers.map((register) => ({
    register,
    documents: referenceSets(
      `${name}-pcr-${register}`,
      `PCR ${register}, from ${ids}.`,
      references
        .filter((reference) => reference.register === register)
        .map(({ digest, label }) => ({ value: digest, label: label === '' ? `PCR ${register}` : label })),
      from,
      terms,
    ),
  }))
  const keyed = references.filter(({ register }) => register === undefined)
  const named = referenceSets(
    `${name}-digests`,
    `What keys of the manifest name, from ${ids}.`,
    keyed.map(({ digest, key = '', label }) => ({ value: digest, label: [key, label].filter(Boolean).join(': ') })),
    from,
    terms,
  )
  const policies =
    measured.length === 0
      ? []
      : [
          policyDocument(
            name,
            `Registers as ${ids} has them.`,
            {
              pcrs: `${bank}:0-${registers.some((register) => register > 15) ? 23 : 15}`,
              pcr: Object.fromEntries(
                measured.map(({ register, documents }) => [
                  String(register),
                  { references: documents.map((each) => each.name) },
                ]),
              ),
            },
            notes.map(({ message }) => message),
          ),
        ]
  if (keyed.length > 0) {
    const message = `no rule names ${name}-digests: name it where those are measured, for example boot.applications (PCR 4) or boot.files (PCR 9)`
    notes.push({ severity: 'warning', message })
  }
  return { documents: [...policies, ...measured.flatMap(({ documents }) => documents), ...named], notes }
}

function banksOf(references: readonly CorimReference[]): string {
  const counts = Map.groupBy(references, ({ hash }) => hash)
  return [...counts].map(([hash, list]) => `${list.length} values of ${hash}`).join(', ')
}
