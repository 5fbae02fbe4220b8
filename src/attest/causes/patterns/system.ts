import { wordDifference } from '../../references.ts'
import { dangersOf } from '../dangerous-parameters.ts'
import { describeChange, textsOf } from '../difference.ts'
import type { Difference } from '../difference.ts'
import { named, plural, subjects } from '../pattern.ts'
import type { Pattern, Sight } from '../pattern.ts'
import type { Scene } from '../scene.ts'

// What the boot loader, the kernel and the operating system were told and given: PCR 8, 9, 11 to 15.

const COMMAND_LINE: Sight = {
  what: 'the kernel’s command line',
  registers: [8, 9, 12],
  kinds: ['text'],
  subject: /^(?:kernel_cmdline|module_cmdline)$/,
  bound: true,
}
const COMMANDS: Sight = { what: 'commands of GRUB', registers: [8], kinds: ['text'] }
const FILE_LABEL = /vmlinu|bzimage|kernel|linux|xen/i
const INITRD_LABEL = /initr|ucode|initramfs/i
const CONFIGURATION_LABEL = /\.(?:cfg|conf|lst)$/i
const NO_KERNEL = /initr|ucode|initramfs|\.(?:cfg|conf|lst)$|cmdline/i

function file(what: string, label: RegExp, not?: RegExp): Sight {
  return {
    what,
    registers: [9, 11],
    kinds: ['other', 'image', 'text'],
    where: ({ subject }) => label.test(subject) && not?.test(subject) !== true,
  }
}

const KERNEL_FILE = file('a file or section that the log calls a kernel', FILE_LABEL, NO_KERNEL)
const INITRD_FILE = file('a file or section that the log calls an initrd', INITRD_LABEL)
const CONFIGURATION_FILE = file('a file that the log calls a configuration', CONFIGURATION_LABEL)

interface Parameters {
  readonly added: ReadonlySet<string>
  readonly missing: ReadonlySet<string>
  readonly dangers: readonly string[]
}

function parameters(differences: readonly Difference[]): Parameters {
  const all = differences.map((difference) => {
    const { before, after } = textsOf(difference)
    return wordDifference(before, after)
  })
  const added = new Set(all.flatMap((each) => each.added))
  const missing = new Set(all.flatMap((each) => each.missing))
  // Of a line that is gone nobody knows what stands for it.
  const isThere = differences.some(({ after }) => after !== undefined)
  return { added, missing, dangers: dangersOf(added, isThere ? missing : new Set()) }
}

const ofLines = new WeakMap<Scene, Parameters>()

/** Of all command lines of the kernel, once for each scene. */
function parametersOfLines(scene: Scene): Parameters {
  const known = ofLines.get(scene)
  if (known !== undefined) return known
  const made = parameters(scene.differences.filter(({ subject, bound }) => bound && subject === 'kernel_cmdline'))
  ofLines.set(scene, made)
  return made
}

function parametersText(lines: readonly Difference[]): string {
  if (lines.every(({ after }) => after === undefined)) return 'none was measured this time'
  const { added, missing } = parameters(lines)
  const texts = [
    ...(added.size > 0 ? [`new ${named(added, 8)}`] : []),
    ...(missing.size > 0 ? [`gone ${named(missing, 8)}`] : []),
  ]
  return texts.length === 0 ? 'the same words in another order' : texts.join('; ')
}

/** Commands that differ in nothing but what the command line differs in: those that make it. */
const COMMANDS_OF_LINE: Sight = {
  what: 'commands of GRUB that differ in the same words',
  registers: [8],
  kinds: ['text'],
  changes: ['changed'],
  bound: true,
  where: (difference, scene) => {
    const { added, missing } = parametersOfLines(scene)
    const own = parameters([difference])
    return (
      own.added.size + own.missing.size > 0 &&
      [...own.added].every((word) => added.has(word)) &&
      [...own.missing].every((word) => missing.has(word))
    )
  },
}

export const SYSTEM_PATTERNS: readonly Pattern[] = [
  {
    id: 'eve.config',
    sentence: 'Files of EVE’s /config changed: {files}.',
    see: [{ what: 'files of /config', registers: [14], kinds: ['file'] }],
    tell: (_, { differences: [files = []] }) => ({
      files: named(
        files.map(({ subject, change }) => `${subject}${change === 'changed' ? '' : ` (${WORDS[change]})`}`),
        6,
      ),
    }),
    confidence: 'certain',
    concern: 'check',
    next: 'Compare them with what the controller or the installer wrote. authorized_keys lets somebody in by SSH, grub.cfg changes what starts, server and root-certificate.pem decide whom the node obeys.',
    example: 'grub.cfg and authorized_keys were edited on the CONFIG partition.',
  },
  {
    id: 'kernel.command-line-dangerous',
    sentence: 'The kernel’s command line opens the machine: {dangers}.',
    see: [COMMAND_LINE],
    with: [COMMANDS_OF_LINE, CONFIGURATION_FILE],
    condition: 'it has a parameter that gives a shell or takes a protection away, or lacks one that protects',
    tell: (_, { differences: [lines = []] }) => {
      const { dangers } = parameters(lines)
      return dangers.length === 0 ? undefined : { dangers: named(dangers, 6) }
    },
    confidence: 'likely',
    concern: 'attack',
    next: 'Ask who worked on the machine: these parameters are for rescue and debugging. Otherwise take the node out of service; whoever can edit the command line has had the disk or the console.',
    example: 'init=/bin/sh was added in grub.cfg.',
  },
  {
    id: 'kernel.command-line',
    sentence: 'The kernel’s command line changed: {parameters}.',
    see: [COMMAND_LINE],
    with: [COMMANDS_OF_LINE, CONFIGURATION_FILE],
    tell: (_, { differences: [lines = []] }) => ({ parameters: parametersText(lines) }),
    confidence: 'certain',
    concern: 'check',
    next: 'If the change was wanted, allow the new parameters (kernel.commandLine.parameters) or add the whole line to the references. Otherwise find out what edited the boot loader’s configuration.',
    example: 'console=ttyS1 was added.',
  },
  {
    id: 'kernel.replaced',
    sentence: 'The kernel is another one, and no reference knows it: {files}.',
    see: [KERNEL_FILE],
    with: [INITRD_FILE, { ...COMMANDS, what: 'commands of GRUB that name files', where: namesKernel }],
    tell: (_, { differences: [files = []] }) => ({ files: named(files.map(fileText), 3) }),
    confidence: 'likely',
    concern: 'check',
    next: 'If a package update installed it, add its digest to the references with its version as label. If nobody updated the node, take it out of service: a kernel can do everything.',
    example: 'unattended-upgrades installed linux-image 6.1.0-57.',
  },
  {
    id: 'kernel.initrd-alone',
    sentence: 'The initrd changed, and the kernel did not: {files}.',
    see: [INITRD_FILE],
    without: [KERNEL_FILE],
    tell: (_, { differences: [files = []] }) => ({ files: named(files.map(fileText), 3) }),
    confidence: 'likely',
    concern: 'check',
    next: 'Machines build their own initrd, so it changes with many packages (update-initramfs, dracut in the logs of the node). It is also where disks’ passwords are stolen: unpack it and compare (lsinitramfs).',
    example: 'update-initramfs ran after a package was installed.',
  },
  {
    id: 'grub.configuration',
    sentence: 'GRUB ran other commands: {changes}.',
    see: [{ ...COMMANDS, changes: ['added', 'removed', 'changed'] }],
    with: [CONFIGURATION_FILE, { ...COMMANDS, what: 'commands at another place', changes: ['moved'] }],
    tell: (_, { differences: [commands = []] }) => ({
      changes: `${plural(commands.length, 'difference')}; ${named(commands.map(commandText), 3)}`,
    }),
    confidence: 'certain',
    concern: 'check',
    next: 'Compare grub.cfg with its package or template (grub-mkconfig writes it anew with every kernel). Commands of a person at GRUB’s prompt show here too.',
    example: 'A menu entry was edited with “e” before booting.',
  },
  {
    id: 'grub.configuration-file',
    sentence: 'A configuration file of the boot loader changed, and the commands that ran did not: {files}.',
    see: [CONFIGURATION_FILE],
    tell: (_, { differences: [files = []] }) => ({ files: named(files.map(fileText), 3) }),
    confidence: 'likely',
    concern: 'check',
    next: 'Something was edited that did not run in this boot, such as another menu entry. Compare the file with its package or template before somebody chooses it.',
    example: 'grub-mkconfig added an entry for an old kernel.',
  },
  {
    id: 'boot.files',
    sentence: 'Other files that the boot loader read changed: {files}.',
    see: [{ what: 'anything else in PCR 9', registers: [9], changes: ['added', 'removed', 'changed'] }],
    tell: (_, { differences: [files = []] }) => ({ files: named(files.map(fileText), 3) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Their names are only what the log calls them; compare digests with your build or with another node. Fonts and modules of GRUB change with its package.',
    example: 'A module of GRUB was updated.',
  },
  {
    id: 'boot.unified-kernel',
    sentence: 'The unified kernel image changed (PCR 11): {sections}.',
    see: [{ what: 'sections', registers: [11] }],
    tell: (_, { differences: [sections = []] }) => ({ sections: subjects(sections) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Compare with systemd-measure calculate of the image that you built; add its digest in PCR 4 to the references if it is yours.',
    example: 'A new image was installed into /efi/EFI/Linux.',
  },
  {
    id: 'boot.added-options',
    sentence: 'What the boot loader added to the kernel changed (PCR 12): {subjects}.',
    see: [{ what: 'anything in PCR 12', registers: [12] }],
    tell: (_, { differences: [found = []] }) => ({ subjects: subjects(found) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Look at credentials, device trees and options beside the image on the EFI system partition.',
    example: 'A credential was put into /loader/credentials.',
  },
  {
    id: 'system.extensions',
    sentence: 'System extensions or measured programs changed (PCR 13): {subjects}.',
    see: [{ what: 'anything in PCR 13', registers: [13] }],
    tell: (_, { differences: [found = []] }) => ({ subjects: subjects(found) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Compare the digests with your build; of Windows, see the modules below.',
    example: 'A system extension image was installed.',
  },
  {
    id: 'system.identity',
    sentence: 'The identity of the system changed (PCR 15): {subjects}.',
    see: [{ what: 'anything in PCR 15', registers: [15] }],
    tell: (_, { differences: [found = []] }) => ({ subjects: subjects(found) }),
    confidence: 'likely',
    concern: 'check',
    next: 'machine-id, volume keys and mounted file systems are measured there: the system was reinstalled, re-encrypted, or another disk was mounted.',
    example: 'The machine was installed again, and got a new machine-id.',
  },
  {
    id: 'system.other',
    sentence: 'Something else was measured into PCR {registers}: {subjects}.',
    see: [{ what: 'anything in PCR 14, 16 and above', registers: [14, 16, 17, 18, 19, 20, 21, 22, 23] }],
    tell: (_, { differences: [found = []] }) => ({
      registers: named(
        found.map(({ register }) => String(register)),
        8,
      ),
      subjects: subjects(found),
    }),
    confidence: 'possible',
    concern: 'check',
    next: 'Find out which program of the node extends these registers; a dynamic launch measures into 17 to 22.',
    example: 'A new tboot, or an application that measures itself.',
  },
  {
    id: 'boot.order-of-measurements',
    sentence: 'The same things were measured in another order (PCR {registers}).',
    see: [
      {
        what: 'events at another place',
        registers: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15],
        changes: ['moved'],
      },
    ],
    tell: (_, { differences: [found = []] }) => ({
      registers: named(
        found.map(({ register }) => String(register)),
        8,
      ),
    }),
    confidence: 'likely',
    concern: 'check',
    next: 'Harmless on most machines (devices that come up in another order), but the register has another value: judge it by what it holds (boot.options, firmware.drivers) instead of as a whole.',
    example: 'Two disks answered in another order.',
  },
]

const WORDS = { added: 'new', removed: 'gone', changed: '', moved: 'moved', relabelled: '' } as const

function fileText({ subject, change, after, before }: Difference): string {
  const digest = (after ?? before)?.digest ?? ''
  const what = WORDS[change]
  return `${subject}${what === '' ? '' : ` ${what}`} (${digest.slice(0, 16)}…)`
}

/** A path with a version in it changes with the kernel. */
function namesKernel(difference: Difference): boolean {
  const { before, after } = textsOf(difference)
  const own = wordDifference(before, after)
  const words = [...own.added, ...own.missing]
  return words.length > 0 && words.every((word) => FILE_LABEL.test(word) || INITRD_LABEL.test(word))
}

function commandText(difference: Difference): string {
  return describeChange(difference).replace('grub_cmd: ', '')
}
