import type { AnnotatedEvent } from '../annotate.ts'
import type { RegisterKind } from '../log.ts'
import { readEveConfigFile, type EveConfigFile } from '../payload/eve-config.ts'
import { isWindowsLog } from '../payload/windows-events.ts'
import { registerOf } from '../registers.ts'
import { boundRef } from '../summary.ts'
import type { BootFacts, EveFacts, TextFact } from './boot-facts.ts'
import { readGrub, textOf } from './grub-texts.ts'
import { isMarker, isTagged } from './unread.ts'

interface BootLoaderReading {
  readonly facts: Pick<BootFacts, 'grub' | 'kernel' | 'eve'>
  /** Events of PCR 8, 12, 13 and 14 that nothing here reads. */
  readonly unread: readonly AnnotatedEvent[]
}

/** What the known boot loaders wrote, as far as their digests vouch for it. */
export function bootLoaderFacts(events: readonly AnnotatedEvent[], kind: RegisterKind): BootLoaderReading {
  const grubRegister = registerOf(kind, 8)
  const optionRegister = registerOf(kind, 12)
  const rootfsRegister = registerOf(kind, 13)
  const configRegister = registerOf(kind, 14)
  const ownRegisters = [optionRegister, rootfsRegister, configRegister]
  const grub = readGrub(events.filter(({ event }) => event.pcr === grubRegister))
  const unread = [...grub.unread]
  const options: TextFact[] = []
  const config: EveFacts['config'][number][] = []
  const rootfs: EveFacts['rootfs'][number][] = []
  for (const annotated of events) {
    const { event, content } = annotated
    if (!ownRegisters.includes(event.pcr) || isMarker(annotated)) continue
    const text = event.pcr === optionRegister && kind === 'pcr' ? textOf(annotated) : undefined
    const file = event.pcr === configRegister ? configOf(annotated) : undefined
    if (text !== undefined) {
      options.push({ text, event: boundRef(annotated) })
    } else if (event.pcr === rootfsRegister && content?.kind === 'written' && content.role === 'rootfs') {
      rootfs.push({ hash: content.text, event: boundRef(annotated) })
    } else if (file !== undefined) {
      config.push({ ...file, event: boundRef(annotated) })
    } else if (event.pcr === optionRegister ? !isTagged(annotated) : !isWindowsEvent(annotated)) {
      unread.push(annotated)
    }
  }
  const commandLines = [...grub.commandLines, ...options].sort((a, b) => a.event.index - b.event.index)
  const [first] = commandLines
  const hidden = unread.some(({ event }) => event.pcr === grubRegister || event.pcr === optionRegister)
  const agreed = first !== undefined && commandLines.every(({ text }) => text === first.text)
  return {
    facts: {
      grub: { commands: grub.commands },
      kernel: { commandLines, ...(agreed && (kind === 'rtmr' || !hidden) ? { commandLine: first } : {}) },
      eve: { config, rootfs },
    },
    unread: kind === 'rtmr' ? [] : unread,
  }
}

/**
 * Windows' own events of PCR 13 and 14, measured whole. Their form is no text, and their size not that of a hash, so what
 * EVE measures there cannot be made to look like one.
 */
function isWindowsEvent({ event, content }: AnnotatedEvent): boolean {
  return content?.kind === 'payload' && event.data.byteLength !== HASH_SIZE && isWindowsLog(event.data)
}

const HASH_SIZE = 32

function configOf({ event, content }: AnnotatedEvent): EveConfigFile | undefined {
  return content?.kind === 'payload' ? readEveConfigFile(event.data.toString('utf8')) : undefined
}
