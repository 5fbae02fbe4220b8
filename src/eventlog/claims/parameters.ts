/**
 * The values of a parameter of a kernel command line, up to `--`, behind which parameters are for init. Blanks within
 * double quotes do not end a parameter, and the quotes are left out: Linux, admin-guide/kernel-parameters. O(n).
 */
export function parameters(commandLine: string, name: string): string[] {
  const values: string[] = []
  for (const token of tokens(commandLine)) {
    if (token === '--') break
    if (token.startsWith(`${name}=`)) values.push(token.slice(name.length + 1))
  }
  return values
}

function tokens(text: string): string[] {
  const found: string[] = []
  let quoted = false
  let start = 0
  const push = (end: number): void => {
    if (end > start) found.push(text.slice(start, end).replaceAll('"', ''))
    start = end + 1
  }
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) quoted = !quoted
    else if (!quoted && (code === BLANK || (code >= TAB && code <= RETURN))) push(at)
  }
  push(text.length)
  return found
}

const QUOTE = 0x22
const BLANK = 0x20
const TAB = 0x09
const RETURN = 0x0d
