import type { AnnotatedEvent } from '../annotate.ts'
import { boundRef } from '../summary.ts'
import { SYSTEMD } from '../writers.ts'
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
const SCRIPT_WORD = /^(?:!|if|elif|while|until|then|else|do)(?=\s)/
/** Commands of GRUB that load a kernel, or a module that may be one (Xen, multiboot). */
const LOADING =
  /^(?:linux(?:16|efi)?|multiboot2?|module2?|xen_(?:hypervisor|linux|module)|legacy_kernel|k(?:free|net|open)bsd|xnu_kernel(?:64)?|plan9|chainloader)(?=\s)/
/** What it starts gets the arguments behind the first as its load options; without any it is no kernel's. */
const CHAINLOADER = 'chainloader'
/** No command of GRUB has a slash in its name, or a device in its place; an assignment may have both, behind its `=`. */
const BEGINS_WITH_PATH = /^\(|^[^\s=]*\/|^\d*\+\d/

/**
 * The texts of PCR 8, told apart by what they are. GRUB puts `grub_cmd: ` before a command and `kernel_cmdline: ` before
 * what a kernel is given, but measures neither label: both can be changed. It measures a command that loads, then the
 * arguments of that command again as the command line. So a text that repeats the arguments of a loading command is a
 * command line and no command, whatever its label. Any other text is a command; and it is judged as a command line too
 * if it begins with a path or a block list as command lines do, or if it was measured as systemd-boot measures them. The
 * arguments of a loading command that no text repeats are a command line as well: not every GRUB measures it.
 */
export function readGrub(events: readonly AnnotatedEvent[]): GrubReading {
  const commands: TextFact[] = []
  const commandLines: TextFact[] = []
  const unread: AnnotatedEvent[] = []
  // What commands gave to kernels and no text has repeated yet, by text.
  const loading = new Map<string, TextFact[]>()
  for (const annotated of events) {
    if (isMarker(annotated)) continue
    const text = textOf(annotated)
    if (text === undefined) {
      unread.push(annotated)
      continue
    }
    const fact: TextFact = { text, event: boundRef(annotated) }
    const waiting = loading.size === 0 ? undefined : loading.get(unquoted(text))
    if (waiting?.pop() !== undefined) {
      commandLines.push(fact)
      continue
    }
    commands.push(fact)
    const rest = loadedBy(text)
    if (rest !== undefined) {
      const key = unquoted(rest)
      const queue = loading.get(key)
      const given = { ...fact, text: rest }
      if (queue === undefined) loading.set(key, [given])
      else queue.push(given)
    } else if (isOptionText(annotated) || BEGINS_WITH_PATH.test(text)) commandLines.push(fact)
  }
  return { commands, commandLines: [...commandLines, ...[...loading.values()].flat()], unread }
}

/** What a loading command gives to what it loads; `undefined` for every other command. */
function loadedBy(text: string): string | undefined {
  let command = text
  // Word by word: an expression that repeats keeps its place for each of them, and a hostile text has millions.
  for (let word = SCRIPT_WORD.exec(command); word !== null; word = SCRIPT_WORD.exec(command)) {
    command = command.slice(word[0].length).trimStart()
  }
  const [name] = LOADING.exec(command) ?? []
  if (name === undefined) return undefined
  const rest = command.slice(name.length).trimStart()
  return rest === '' || (name === CHAINLOADER && !/\s/.test(rest.trim())) ? undefined : rest
}

/** Its digest is of UTF-16, as no text of GRUB's is. */
function isOptionText({ content }: AnnotatedEvent): boolean {
  return content?.kind === 'written' && content.writer === SYSTEMD
}

/** GRUB writes the command line with quotes and backslashes of its own around what has blanks in it. */
function unquoted(text: string): string {
  return (QUOTES.test(text) ? text.replaceAll(ALL_QUOTES, '') : text).trim()
}

const QUOTES = /["'\\]/
const ALL_QUOTES = new RegExp(QUOTES, 'g')
