import { TouchstoneError } from '../../core/index.ts'
import { policyDocument, referenceSets } from './documents.ts'
import type { Learned, LearnedNote, LearnTerms } from './documents.ts'

/** One file of a package tree. */
export interface ListedFile {
  /** Where it lies on the machine, from `/`; absent where its name is no text. */
  readonly path?: string
  /** Hex, in the bank. */
  readonly digest: string
  /** The package that it is of. */
  readonly label?: string
}

export const MAX_FILES = 200_000
const ELF = Buffer.from([0x7f, 0x45, 0x4c, 0x46])
const KERNEL_MODULE = /\.ko(?:\.(?:gz|xz|zst))?$/

/**
 * Whether a file is code that the kernel measures when it runs: a program or script by its mode, a library or kernel module by its
 * first bytes or name. `mode`: permission bits.
 */
export function isCode(name: string, mode: number, head: Uint8Array): boolean {
  return (mode & 0o111) !== 0 || KERNEL_MODULE.test(name) || Buffer.from(head.subarray(0, 4)).equals(ELF)
}

/** A path as an entry has it: exactly this one, whatever is in it. */
export function literalPath(path: string): string {
  return path.replaceAll(/[*?\\]/g, '\\$&')
}

/**
 * Paths under which a file of a package may lie: since directories were merged into /usr, /bin/sh is measured as /usr/bin/sh
 * (Debian's usrmerge).
 */
export function placesOf(path: string): readonly string[] {
  return /^\/(?:bin|sbin|lib|lib32|lib64|libx32)\//.test(path) ? [path, `/usr${path}`] : [path]
}

/** An IMA allow-list: sets of files by digest and path, and a policy that lets nothing else run. Throws `learn.nothing`. O(n). */
export function learnFiles(
  files: readonly ListedFile[],
  from: string,
  given: readonly LearnedNote[],
  terms: LearnTerms,
): Learned {
  const { name, bank } = terms
  if (files.length === 0) throw new TouchstoneError('learn.nothing', `there is no program or library in ${from}`)
  const entries = files.map(({ path, digest, label }) => ({
    value: `${bank}:${digest}`,
    ...(path === undefined ? {} : { path: literalPath(path) }),
    ...(label === undefined ? {} : { label }),
  }))
  const sets = referenceSets(`${name}-files`, `Files of ${from}.`, entries, { kind: 'package', source: from }, terms)
  const spec = {
    pcrs: `${bank}:0-15`,
    log: { ima: 'required' },
    // Another kernel would have whatever it likes measured.
    secureBoot: { enabled: { is: true } },
    ima: { allow: { references: sets.map((set) => set.name) } },
  }
  const policy = policyDocument(name, `Runs nothing but files of ${from}.`, spec, [
    'An IMA allow-list: see "Learn" in policies/README.md.',
    ...given.map(({ message }) => message),
  ])
  return { documents: [policy, ...sets], notes: given }
}
