import { isTouchstoneError, TouchstoneError } from '../core/index.ts'

/** Where a TPM is. `text` is the tpm2-tss spelling, which tpm2-tools take as it is. */
export type Tcti =
  | { readonly kind: 'device'; readonly path: string; readonly text: string }
  | { readonly kind: 'unix'; readonly path: string; readonly text: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly text: string }

/** sun_path holds 108 bytes with its NUL, and swtpm's control socket is `<path>.ctrl`. */
const LONGEST_SOCKET_PATH = 102

/**
 * Reads a TCTI string as tpm2-tss spells it: `device:/dev/tpmrm0`, `swtpm:path=/absolute/socket`,
 * `swtpm:host=127.0.0.1,port=2321`. Everything else is `device.tcti`: an environment default or a loader's guess would
 * let the tools and the transport talk to two different TPMs.
 */
export function parseTcti(text: string): Tcti {
  const colon = text.indexOf(':')
  const loader = colon < 0 ? text : text.slice(0, colon)
  const rest = colon < 0 ? '' : text.slice(colon + 1)
  if (loader === 'device') {
    if (!isPlainPath(rest)) throw refused(text, 'device: needs an absolute path')
    return { kind: 'device', path: rest, text }
  }
  if (loader !== 'swtpm') throw refused(text, 'it starts neither with device: nor with swtpm:')
  const fields = new Map<string, string>()
  for (const part of rest.split(',')) {
    const [key, value] = splitOnce(part, '=')
    if (!['path', 'host', 'port'].includes(key) || fields.has(key)) throw refused(text, `unknown or repeated '${key}'`)
    fields.set(key, value)
  }
  const path = fields.get('path')
  if (path !== undefined) {
    if (fields.size > 1) throw refused(text, 'path excludes host and port')
    if (!isPlainPath(path)) throw refused(text, 'the socket needs an absolute path')
    if (Buffer.byteLength(path) > LONGEST_SOCKET_PATH) {
      throw refused(text, `the socket's path is longer than ${LONGEST_SOCKET_PATH} bytes`)
    }
    return { kind: 'unix', path, text }
  }
  const host = fields.get('host') ?? '127.0.0.1'
  const port = Number(fields.get('port') ?? '2321')
  if (!/^[A-Za-z0-9.:-]+$/.test(host)) throw refused(text, 'the host is not a name or an address')
  if (!Number.isInteger(port) || port < 1 || port > 65534) throw refused(text, 'the port is not 1 to 65534')
  return { kind: 'tcp', host, port, text }
}

export function isTcti(text: string): boolean {
  try {
    parseTcti(text)
    return true
  } catch (error) {
    if (isTouchstoneError(error)) return false
    throw error
  }
}

/** tpm2-tss cuts its configuration at commas; such a path would name another file to the tools. */
function isPlainPath(path: string): boolean {
  return /^\/[^,\0]+$/.test(path)
}

function splitOnce(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

function refused(text: string, why: string): TouchstoneError {
  return new TouchstoneError('device.tcti', `'${text}' is not a TPM address: ${why}`)
}
