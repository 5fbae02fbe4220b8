import type { AnnotatedEvent } from '../annotate.ts'
import { boundRef } from '../summary.ts'
import type { TextFact } from './boot-facts.ts'
import { isMarker } from './unread.ts'

interface GrubReading {
  readonly commands: readonly TextFact[]
  readonly commandLines: readonly TextFact[]
  readonly unread: readonly AnnotatedEvent[]
}

/** How a value for an unread event begins in policies: no text may pass for one. */
const UNREAD = 'unknown:'

/** The text that the digest of an event is of; which of a boot loader's labels stands before it is nobody's word. */
export function textOf({ content }: AnnotatedEvent): string | undefined {
  if (content?.kind !== 'written' || content.role === 'rootfs' || content.text.startsWith(UNREAD)) return undefined
  return content.text
}

/** What GRUB's script puts before a command is measured with it: `! linux …` and `if linux …` load like `linux …`. */
const SCRIPT_WORDS = /^(?:(?:!|if|elif|while|until|then|else|do)\s+)+/
/** Commands of GRUB that load a kernel, or a module that may be one (Xen, multiboot). */
const LOADING =
  /^(?:linux(?:16|efi)?|multiboot2?|module2?|xen_(?:hypervisor|linux|module)|legacy_kernel|k(?:free|net|open)bsd|xnu_kernel(?:64)?|plan9)$/
/** What it starts gets the arguments behind the first as its load options; without any it is no kernel's. */
const CHAINLOADER = 'chainloader'
/** No command of GRUB has a slash in its name, or a device in its place; an assignment may have both, behind its `=`. */
const BEGINS_WITH_PATH = /^\(|^[^\s=]*\/|^\d*\+\d/

/**
 * The texts of PCR 8, told apart by what they are. GRUB puts `grub_cmd: ` before a command and `kernel_cmdline: ` before
 * what a kernel is given, but measures neither label: both can be changed. It measures a command that loads, then the
 * arguments of that command again as the command line. So a text that repeats the arguments of a loading command is a
 * command line and no command, whatever its label. Any other text is a command; and it is judged as a command line too
 * if its label says so, or if it begins with a path or a block list as command lines do. The arguments of a loading
 * command that no text repeats are a command line as well: not every GRUB measures it.
 */
export function readGrub(events: readonly AnnotatedEvent[]): GrubReading {
  const commands: TextFact[] = []
  const commandLines: TextFact[] = []
  const unread: AnnotatedEvent[] = []
  const loading: { readonly key: string; readonly fact: TextFact }[] = []
  for (const annotated of events) {
    if (isMarker(annotated)) continue
    const text = textOf(annotated)
    if (text === undefined) {
      unread.push(annotated)
      continue
    }
    const fact: TextFact = { text, event: boundRef(annotated) }
    const repeated = loading.findIndex(({ key }) => key === unquoted(text))
    if (repeated >= 0) {
      loading.splice(repeated, 1)
      commandLines.push(fact)
      continue
    }
    commands.push(fact)
    const { name, rest } = commandOf(text)
    if (isLoading(name, rest)) loading.push({ key: unquoted(rest), fact: { ...fact, text: rest } })
    else if (isLabelledCommandLine(annotated) || BEGINS_WITH_PATH.test(text)) commandLines.push(fact)
  }
  return { commands, commandLines: [...commandLines, ...loading.map(({ fact }) => fact)], unread }
}

function commandOf(text: string): { readonly name: string; readonly rest: string } {
  const [, name = '', rest = ''] = /^(\S*)\s*(.*)$/s.exec(text.replace(SCRIPT_WORDS, '')) ?? []
  return { name, rest }
}

function isLoading(name: string, rest: string): boolean {
  if (rest === '') return false
  return LOADING.test(name) || (name === CHAINLOADER && /\s/.test(rest.trim()))
}

function isLabelledCommandLine({ content }: AnnotatedEvent): boolean {
  return content?.kind === 'written' && content.role !== 'grub-command'
}

/** GRUB writes the command line with quotes and backslashes of its own around what has blanks in it. */
function unquoted(text: string): string {
  return text.replaceAll(/["'\\]/g, '').trim()
}
