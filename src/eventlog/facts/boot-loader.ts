import type { AnnotatedEvent } from '../annotate.ts'
import type { RegisterKind } from '../log.ts'
import { SHIM_LOCK } from '../payload/guid.ts'
import { registerOf } from '../registers.ts'
import { boundRef } from '../summary.ts'
import type { BootFacts, EveFacts, ShimFacts, TextFact } from './boot-facts.ts'

type BootLoader = Pick<BootFacts, 'shim' | 'grub' | 'kernel' | 'eve'>

/** EVE's measure-config: `file:<path> exist:<bool>[ content-hash:<sha256>]`, one event a file. */
const EVE_CONFIG = /^file:(.+?) exist:(true|false)(?: content-hash:([0-9a-f]{64}))?$/

/** What the known boot loaders wrote, as far as their digests vouch for it. */
export function bootLoaderFacts(events: readonly AnnotatedEvent[], kind: RegisterKind): BootLoader {
  const grubRegister = registerOf(kind, 8)
  const optionRegisters = new Set([grubRegister, registerOf(kind, 12)])
  const rootfsRegister = registerOf(kind, 13)
  const configRegister = registerOf(kind, 14)
  const commands: TextFact[] = []
  const commandLines: TextFact[] = []
  const config: EveFacts['config'][number][] = []
  const rootfs: EveFacts['rootfs'][number][] = []
  for (const annotated of events) {
    const { event, binding, content } = annotated
    if (binding !== 'bound' || content === undefined) continue
    if (content.kind === 'written') {
      const { role, text } = content
      const fact = (): TextFact => ({ text, event: boundRef(annotated) })
      if (role === 'grub-command' && event.pcr === grubRegister) commands.push(fact())
      if (role === 'kernel-command-line' && optionRegisters.has(event.pcr)) commandLines.push(fact())
      if (role === 'rootfs' && event.pcr === rootfsRegister) rootfs.push({ hash: text, event: boundRef(annotated) })
    } else if (content.kind === 'payload' && event.pcr === configRegister) {
      const [, path, exists, contentHash] = EVE_CONFIG.exec(event.data.toString('utf8')) ?? []
      if (path === undefined) continue
      config.push({
        path,
        exists: exists === 'true',
        ...(contentHash === undefined ? {} : { contentHash }),
        event: boundRef(annotated),
      })
    }
  }
  const [first] = commandLines
  const agreed = first !== undefined && commandLines.every(({ text }) => text === first.text)
  return {
    shim: shimFacts(events, registerOf(kind, 7)),
    grub: { commands },
    kernel: { commandLines, ...(agreed ? { commandLine: first } : {}) },
    eve: { config, rootfs },
  }
}

function shimFacts(events: readonly AnnotatedEvent[], register: number): ShimFacts {
  let sbatLevel: ShimFacts['sbatLevel']
  let mokListTrusted: ShimFacts['mokListTrusted']
  for (const annotated of events) {
    const { event, binding, content } = annotated
    if (event.pcr !== register || binding !== 'bound' || content?.kind !== 'variable') continue
    const { vendor, name, value } = content.variable
    if (vendor !== SHIM_LOCK) continue
    if (name === 'SbatLevel') sbatLevel ??= { text: value.toString('utf8'), event: boundRef(annotated) }
    if (name === 'MokListTrusted' && value.byteLength === 1 && (value[0] === 0 || value[0] === 1)) {
      mokListTrusted ??= { value: value[0] === 1, event: boundRef(annotated) }
    }
  }
  return {
    ...(sbatLevel === undefined ? {} : { sbatLevel }),
    ...(mokListTrusted === undefined ? {} : { mokListTrusted }),
  }
}
