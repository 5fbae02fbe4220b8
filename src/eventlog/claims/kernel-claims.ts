import { filesOf, isInitrdLabel, isKernelLabel, isLabelled, labelOf } from './boot-files.ts'
import type { DigestClaim, KernelClaims } from './boot-claims.ts'
import { known, listed, listedAsSaid, said, unknown, type Claim, type ListClaim } from './claim.ts'
import { digestClaim, indicesOf } from './digest-claim.ts'
import { parameters } from './parameters.ts'
import { byRegister, gapIn, listIn, missing, type Reading } from './reading.ts'
import { readSections, sectionClaims } from './section-claims.ts'

/** Where boot loaders measure command lines: GRUB and old versions of systemd-boot 8, others 12. */
const TEXT_PCRS = [8, 12]

export function kernelClaims(reading: Reading): KernelClaims {
  const commandLines = byRegister(reading.facts.kernel.commandLines)
  const commandLine = commandLineClaim(reading)
  const path = pathClaim(commandLine)
  const initrds = initrdPaths(reading)
  return {
    commandLines: listIn(
      reading,
      TEXT_PCRS,
      commandLines.map(({ text }) => text),
      commandLines.map(({ event }) => event.index),
      textGap(reading),
    ),
    commandLine,
    path,
    initrdPaths: initrds,
    untrustedKernel: untrustedKernel(reading, path),
    untrustedInitrds: untrustedInitrds(reading, initrds),
    ukiSections: sectionClaims(reading),
  }
}

/** In an RTMR digests of files stand beside texts, and any of them may be a text that was made unreadable. */
function textGap(reading: Reading): ReturnType<typeof gapIn> {
  return gapIn(reading, TEXT_PCRS)
}

function commandLineClaim(reading: Reading): Claim<string> {
  const { commandLine } = reading.facts.kernel
  const commandLines = byRegister(reading.facts.kernel.commandLines)
  if (commandLine !== undefined && textGap(reading) === undefined) {
    return known(
      commandLine.text,
      commandLines.map(({ event }) => event.index),
    )
  }
  if (commandLines.length === 0) return missing(reading, TEXT_PCRS, 'no boot loader measured a command line')
  const { reason, events } = missing(reading, TEXT_PCRS, 'there is more than one, and they differ')
  const gap = textGap(reading)
  const agree = commandLines.every(({ text }) => text === commandLines[0]?.text)
  return unknown(
    agree && gap !== undefined ? gap.reason : reason,
    agree ? events : commandLines.map(({ event }) => event.index),
  )
}

/** GRUB's command lines begin with the file that it loads. */
const PATH = /^(?:\([^)\s]*\))?\/\S+/

function pathClaim(commandLine: Claim<string>): Claim<string> {
  if (commandLine.state === 'unknown') return commandLine
  const [path] = PATH.exec(commandLine.value) ?? []
  return path === undefined
    ? unknown('the command line does not begin with the path of a file', commandLine.events)
    : known(path, commandLine.events)
}

const INITRD_COMMAND = /^initrd(?:16|efi)?\s+(\S.*)$/s

function initrdPaths(reading: Reading): ListClaim<string> {
  const { grub, kernel } = reading.facts
  const found = grub.commands.flatMap(({ text, event }) => {
    const [, rest] = INITRD_COMMAND.exec(text) ?? []
    return (rest?.split(/\s+/) ?? []).filter((each) => each !== '').map((path) => ({ path, index: event.index }))
  })
  const lines = new Map(byRegister(kernel.commandLines).map(({ text, event }) => [text, event.index]))
  for (const [text, index] of lines) {
    for (const path of parameters(text, 'initrd')) found.push({ path, index })
  }
  if (found.length === 0) return missing(reading, TEXT_PCRS, 'no boot loader measured a command that loads one')
  return listed(
    found.map(({ path }) => path),
    [...new Set(found.map(({ index }) => index))],
    textGap(reading),
  )
}

function untrustedKernel(reading: Reading, path: Claim<string>): Claim<DigestClaim> {
  const files = filesOf(reading)
  const named = path.state === 'known' ? files.find((each) => isLabelled(each, path.value)) : undefined
  const file = named ?? files.find((each) => isKernelLabel(labelOf(each) ?? ''))
  if (file !== undefined) return said(digestClaim(file), [file.event.index])
  const section = readSections(reading).sections.find(({ name }) => name === '.linux')
  if (section !== undefined) return said({ digest: section.digest, event: section.event }, [section.event])
  return unknown('the log names no measurement that is the kernel’s')
}

function untrustedInitrds(reading: Reading, paths: ListClaim<string>): ListClaim<DigestClaim> {
  const wanted = new Set(paths.state === 'known' ? paths.value : [])
  const found = filesOf(reading).filter((file) => {
    const label = labelOf(file)
    return label !== undefined && (wanted.has(label) || isInitrdLabel(label))
  })
  return found.length === 0
    ? unknown('the log names no measurement that is an initrd’s')
    : listedAsSaid(found.map(digestClaim), indicesOf(found))
}
