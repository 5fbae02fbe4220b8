import type { AnnotatedEvent } from '../annotate.ts'
import { SHIM_LOCK } from '../payload/guid.ts'
import type { LoaderClaims, LoaderName, LoaderStageClaim } from './boot-claims.ts'
import { filesOf } from './boot-files.ts'
import { known, said, unknown, type Claim, type ListClaim } from './claim.ts'
import { digestClaim, indicesOf } from './digest-claim.ts'
import { gapIn, listIn, measurementsOf, missing, type Reading } from './reading.ts'
import { readSections } from './section-claims.ts'
import { summaryOf } from '../summary.ts'
import type { WindowsReading } from './windows-reading.ts'

/** Words that begin a command of GRUB and no command line. Which program wrote a label is nobody's word. */
const GRUB_COMMAND =
  /^(?:set|export|insmod|rmmod|search(?:\.\w+)?|linux(?:16|efi)?|initrd(?:16|efi)?|multiboot2?|module2?|chainloader|boot|menuentry|submenu|setparams|load_env|save_env|loadfont|terminal_(?:in|out)put|echo|probe|regexp|smbios|configfile|normal|\[)(?:\s|$)/
const MEASUREFS = /^measurefs\s/

export function loaderClaims(reading: Reading, windows: WindowsReading): LoaderClaims {
  const { grub } = reading.facts
  const stages = stagesOf(reading, windows)
  const files = filesOf(reading)
  const name = nameClaim(reading, stages)
  return {
    name,
    untrustedName: untrustedName(reading),
    stages: stageList(reading, stages),
    commands:
      grubStage(reading) === undefined
        ? missing(reading, [8], 'no command of GRUB was measured')
        : listIn(
            reading,
            [8],
            grub.commands.map(({ text }) => text),
            grub.commands.map(({ event }) => event.index),
            gapIn(reading, [8]),
          ),
    files: listIn(
      reading,
      [9],
      files.map(digestClaim),
      indicesOf(files),
      reading.kind === 'rtmr' ? { reason: 'one RTMR holds PCR 8 to 15', events: [] } : undefined,
    ),
  }
}

function stagesOf(reading: Reading, windows: WindowsReading): LoaderStageClaim[] {
  const stages = [shimStage(reading), grubStage(reading), ...systemdStages(reading), windowsStage(windows)]
  return stages.filter((stage) => stage !== undefined).sort((a, b) => a.event - b.event)
}

type Stage = LoaderStageClaim | undefined

function shimStage(reading: Reading): Stage {
  const own = measurementsOf(reading, 7).find(
    ({ content }) => content?.kind === 'variable' && content.covers === 'all' && content.variable.vendor === SHIM_LOCK,
  )
  if (own?.content?.kind !== 'variable') return undefined
  return { name: 'shim', basis: `it measured its variable ${own.content.variable.name}`, event: own.event.index }
}

function grubStage({ facts }: Reading): Stage {
  const { commands } = facts.grub
  const first = commands.find(({ text }) => GRUB_COMMAND.test(text))
  if (first === undefined) return undefined
  const measurefs = commands.find(({ text }) => MEASUREFS.test(text))
  const [image] = facts.eve.rootfs
  if (measurefs !== undefined || image !== undefined) {
    const event = measurefs?.event.index ?? image?.event.index ?? first.event.index
    return { name: 'eve-grub', basis: 'GRUB with EVE’s command measurefs, which measured a file system', event }
  }
  return { name: 'grub', basis: 'commands of GRUB were measured', event: first.event.index }
}

function systemdStages(reading: Reading): Stage[] {
  const [section] = readSections(reading).sections
  const stub: Stage =
    section === undefined
      ? undefined
      : { name: 'systemd-stub', basis: `it measured section ${section.name}`, event: section.event }
  const text = measurementsOf(reading, 8, 12).find(isSystemdText)
  if (text === undefined || stub !== undefined || grubStage(reading) !== undefined) return [stub]
  const basis = 'a command line was measured in UTF-16, as systemd-boot does'
  return [{ name: 'systemd-boot', basis, event: text.event.index }]
}

function isSystemdText({ content }: AnnotatedEvent): boolean {
  return content?.kind === 'written' && content.role !== 'rootfs' && content.role !== 'section'
}

function windowsStage({ first }: WindowsReading): Stage {
  return first === undefined
    ? undefined
    : { name: 'windows-bootmgr', basis: 'Windows’ boot manager measured what it trusts', event: first }
}

/** Which of several stages comes last is in no register, but some only ever start others. */
const LAST: readonly LoaderName[] = ['windows-bootmgr', 'systemd-stub', 'eve-grub', 'grub', 'systemd-boot']

function nameClaim(reading: Reading, stages: readonly LoaderStageClaim[]): Claim<LoaderName> {
  const [last] = LAST.flatMap((name) => stages.filter((stage) => stage.name === name))
  if (last !== undefined) {
    const gap = gapIn(reading, [8, 12, 13]) ?? readSections(reading).gap
    return gap === undefined ? known(last.name, [last.event]) : unknown(gap.reason, gap.events)
  }
  return stages.length > 0
    ? unknown('behind shim nothing measured itself in a way that is known', [stages[0]?.event ?? 0])
    : missing(reading, [8, 11, 12], 'no boot loader measured itself in a way that is known')
}

function stageList(reading: Reading, stages: readonly LoaderStageClaim[]): ListClaim<LoaderStageClaim> {
  return stages.length === 0
    ? missing(reading, [7, 8, 11, 12], 'no boot loader measured itself in a way that is known')
    : listIn(
        reading,
        [7],
        stages,
        stages.map(({ event }) => event),
        { reason: 'a program that measures nothing of its own is not seen', events: [] },
      )
}

/** Names that files have by convention, in paths of images that nothing vouches for. */
const FILES: readonly (readonly [RegExp, LoaderName])[] = [
  [/systemd-boot\w*\.efi/i, 'systemd-boot'],
  [/\\EFI\\Linux\\[^\\]+\.efi/i, 'systemd-stub'],
  [/bootmgfw\.efi/i, 'windows-bootmgr'],
  [/\bgrub[\w-]*\.efi/i, 'grub'],
  [/\bshim\w*\.efi/i, 'shim'],
]

function untrustedName(reading: Reading): Claim<LoaderName> {
  for (const annotated of [...measurementsOf(reading, 4)].reverse()) {
    if (annotated.content !== undefined) continue
    const path = summaryOf(annotated)
    const name = FILES.find(([pattern]) => pattern.test(path))?.[1]
    if (name !== undefined) return said(name, [annotated.event.index])
  }
  const stub = filesOf(reading).find((file) => summaryOf(file).includes('Linux initrd'))
  return stub === undefined
    ? unknown('no path of an image has a name that is known')
    : said('linux-efi-stub', [stub.event.index])
}
