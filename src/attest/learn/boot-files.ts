import { hash as oneShot } from 'node:crypto'
import { policyDocument, referenceSets } from './documents.ts'
import type { Learned, LearnedDocument, LearnedEntry, LearnedNote, LearnTerms } from './documents.ts'
import type { BootImage } from './boot-image.ts'
import { predictGrub } from './grub-run.ts'
import type { GrubPrediction } from './grub-run.ts'

/** A file that a boot loader reads and nothing else is known of. */
export interface LoadedFile {
  readonly name: string
  /** Hex, in the bank. */
  readonly digest: string
}

/** What a machine boots: any of these. */
export interface BootFiles {
  readonly images: readonly BootImage[]
  readonly initrds: readonly LoadedFile[]
  readonly grub?: { readonly name: string; readonly text: string }
  /** SHA-256 of what EVE's GRUB hashes of root file systems, hex. */
  readonly rootfs: readonly LoadedFile[]
  /** Number, title or id of the entry that GRUB boots, where it is not the default of the configuration. */
  readonly entry?: string
}

interface Part {
  readonly set: string
  readonly what: string
  readonly entries: readonly LearnedEntry[]
  /** Where the policy names the set. */
  readonly path: readonly string[]
}

/**
 * What boots of these files measure, before anything has booted: images (PCR 4), what loaders read (PCR 9), GRUB's commands and
 * command lines (PCR 8), sections of unified kernels (PCR 11), EVE's root file system (PCR 13). A policy over the facts that were
 * given, and a reference set for each; what cannot be predicted is a note. Throws `learn.grub`. O(n).
 */
export function learnBootFiles(files: BootFiles, terms: LearnTerms): Learned {
  const { name } = terms
  const grub = files.grub === undefined ? undefined : predictGrub(files.grub.text, files.entry)
  const { images, initrds, rootfs } = files
  const named = [...initrds, ...(files.grub === undefined ? [] : [files.grub]), ...rootfs].map((file) => file.name)
  const source = [...images.map(({ label }) => label), ...named].join(', ')
  const parts = partsOf(files, grub, terms).filter(({ entries }) => entries.length > 0)
  const sets = parts.map((part) => ({
    part,
    documents: referenceSets(
      `${name}-${part.set}`,
      `${part.what}. Predicted.`,
      part.entries,
      { kind: 'image', source },
      terms,
    ),
  }))
  const spec = specOf(sets, grub?.commands ?? [], terms)
  const policy = policyDocument(
    name,
    'Predicted from files: accepts boots of these, once what is missing is added.',
    spec,
    [
      'Predicted from files, and judged by no boot yet: see "Learn" in policies/README.md.',
      ...notesOf(files, grub).map(({ message }) => message),
    ],
  )
  return { documents: [policy, ...sets.flatMap(({ documents }) => documents)], notes: notesOf(files, grub) }
}

function partsOf(
  { images, initrds, grub, rootfs }: BootFiles,
  read: GrubPrediction | undefined,
  { bank }: LearnTerms,
): Part[] {
  const unified = images.flatMap((image) => (image.unified === undefined ? [] : [{ ...image, unified: image.unified }]))
  const applications = images.flatMap(({ label, digest, unified: inside }): LearnedEntry[] => [
    { value: digest, label },
    ...(inside?.kernel === undefined ? [] : [{ value: inside.kernel, label: `${label}: the kernel in it` }]),
  ])
  const configuration =
    grub === undefined ? [] : [{ value: oneShot(bank, Buffer.from(grub.text), 'hex'), label: grub.name }]
  // Without a configuration of GRUB, a kernel's own stub measures what it was given, and nobody the file.
  const kernels = images.filter(({ isKernel, unified: inside }) => isKernel && inside === undefined)
  const loaded: LearnedEntry[] = [
    ...configuration,
    ...(grub === undefined ? [] : kernels.map(({ label, content }) => ({ value: content, label }))),
    ...initrds.map(({ name, digest }) => ({ value: digest, label: name })),
    ...unified.flatMap(({ label, unified: { handedOver, commandLine = '' } }) =>
      handedOver.map(({ value, what }) => ({
        value,
        label: what.startsWith('command') ? `${label}: ${what}: ${commandLine}` : `${label}: ${what}`,
      })),
    ),
  ]
  return [
    {
      set: 'applications',
      what: 'Authenticode digests of what is started',
      entries: applications,
      path: ['boot', 'applications'],
    },
    { set: 'files', what: 'Digests of what loaders read or hand over', entries: loaded, path: ['boot', 'files'] },
    {
      set: 'command-lines',
      what: 'Command lines of kernels',
      entries: (read?.commandLines ?? []).map((value) => ({ value, label: read?.entry ?? '' })),
      path: ['kernel', 'commandLine'],
    },
    {
      set: 'pcr-11',
      what: 'PCR 11 of unified kernels after each phase of the boot',
      entries: unified.flatMap(({ label, unified: { pcr11 } }) =>
        pcr11.map(({ after, value }) => ({ value, label: `${label} after ${after}` })),
      ),
      path: ['pcr', '11'],
    },
    {
      set: 'rootfs',
      what: 'SHA-256 of root file systems as EVE measures them',
      entries: rootfs.map(({ name, digest }) => ({ value: digest, label: name })),
      path: ['eve', 'rootfs'],
    },
  ]
}

interface PartSets {
  readonly part: Part
  readonly documents: readonly LearnedDocument[]
}

function specOf(sets: readonly PartSets[], commands: readonly string[], { bank }: LearnTerms) {
  const rules: Record<string, Record<string, unknown>> = {}
  const put = ([group = '', field = '']: readonly string[], rule: unknown) => {
    rules[group] = { ...rules[group], [field]: rule }
  }
  for (const { part, documents } of sets) put(part.path, { references: documents.map(({ name }) => name) })
  // Commands of the configuration that is built into GRUB come before them, and are not known here.
  if (commands.length > 0) put(['grub', 'commands'], { required: [...new Set(commands)] })
  return { pcrs: `${bank}:0-15`, ...rules }
}

function notesOf({ images, initrds, grub, rootfs }: BootFiles, read: GrubPrediction | undefined): LearnedNote[] {
  const notes: LearnedNote[] = []
  const warn = (message: string) => notes.push({ severity: 'warning', message })
  const info = (message: string) => notes.push({ severity: 'info', message })
  for (const { label, unified } of images)
    for (const why of unified?.unpredicted ?? []) warn(`not predicted: ${label}: ${why}`)
  if (grub !== undefined && read !== undefined) {
    for (const { line, why } of read.unpredicted) warn(`not predicted: ${grub.name}, line ${line}: ${why}`)
    for (const { path, line, command } of unmatched(read.files, [
      ...images.map(({ label }) => label),
      ...initrds.map(({ name }) => name),
    ])) {
      warn(
        `not predicted: ${grub.name}, line ${line}: ${command} reads ${path}, which was not given: boot.files does not know it`,
      )
    }
    if (read.entry !== undefined) info(`GRUB boots the entry "${read.entry}"`)
    info(
      "commands of the configuration that is built into GRUB's image come first; grub.commands asks for those of the file only",
    )
  }
  if (images.length > 0) {
    info(
      `boot.applications accepts ${images.map(({ label }) => label).join(', ')} alone: give every image that is started, shim and loaders too`,
    )
  } else if (grub !== undefined || initrds.length > 0) {
    warn('no image was given: nothing judges PCR 4')
  }
  if (images.some(({ unified }) => unified?.commandLine !== undefined)) {
    info(
      'an embedded command line is part of the image (PCR 4, 11); kernel.commandLine reads PCR 8 and 12, where such a boot leaves nothing',
    )
  }
  if (rootfs.length > 0) info("of a root file system, EVE's GRUB hashes the bytes that its superblock says are used")
  return notes
}

/** Files that the configuration reads and that were not given under their name; a label begins with it. */
function unmatched(files: GrubPrediction['files'], given: readonly string[]): GrubPrediction['files'] {
  const names = new Set(given.map((label) => label.split(' ')[0]))
  const first = new Map(files.map((file) => [file.path, file] as const).reverse())
  return [...first.values()].reverse().filter(({ path }) => !names.has(path.split('/').at(-1) ?? ''))
}
