import { writeFile } from 'node:fs/promises'
import { Option } from 'commander'
import { fromBase64Url, fromHex, toBase64Url, toHex, TouchstoneError } from '../core/index.ts'
import type { KeysClient } from '../vtpm/keys/index.ts'
import { readInput } from './files.ts'

export interface SocketOptions {
  readonly socket?: string
}

export interface OutputOptions {
  readonly output?: string
  readonly json?: boolean
}

export const SOCKET = ['--socket <path>', 'socket of the key service (default: TOUCHSTONE_KEYS)'] as const
export const VERSION = ['--key-version <n>', 'this version of the key instead of the newest'] as const

/** The client of the socket that was named. */
export async function keysClient({ socket }: SocketOptions): Promise<KeysClient> {
  const path = socket ?? process.env['TOUCHSTONE_KEYS'] ?? ''
  if (path === '') {
    throw new TouchstoneError('usage.environment', 'no socket is named', {
      hint: 'Give --socket PATH or set TOUCHSTONE_KEYS; the broker serves <runDir>/t/<tenant>/keys.sock.',
    })
  }
  // Here and not above, so that other commands do not wait for what they do not use.
  const { openKeysClient } = await import('../vtpm/keys/index.ts')
  return openKeysClient(path)
}

/** Bytes that a command reads: of a file, or of standard input, so that no secret is ever an argument. */
export async function readBytes(file: string | undefined, max: number): Promise<Buffer> {
  if (file !== undefined && file !== '-') return await readInput(file, max)
  const parts: Buffer[] = []
  let size = 0
  for await (const part of process.stdin) {
    if (!Buffer.isBuffer(part)) continue
    size += part.byteLength
    if (size > max) throw new TouchstoneError('usage.file', `standard input is longer than ${max} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** Bytes that a command answers: into a file of mode 0600, or to standard output as they are. */
export async function writeBytes(file: string | undefined, bytes: Uint8Array): Promise<void> {
  if (file === undefined || file === '-') process.stdout.write(bytes)
  else await writeFile(file, bytes, { mode: 0o600 })
}

const ENCODINGS = { base64url: toBase64Url, hex: toHex } as const

export const formatOption = (formats: readonly string[], preset: string) =>
  new Option('--format <format>', `how it is written: ${formats.join(', ')}`).choices(formats).default(preset)

/** `hex` and `base64url` as a line of text, everything else as bytes. */
export async function writeAs(format: string, file: string | undefined, bytes: Uint8Array): Promise<void> {
  const text = format === 'hex' || format === 'base64url' ? `${ENCODINGS[format](bytes)}\n` : undefined
  await writeBytes(file, text === undefined ? bytes : Buffer.from(text, 'latin1'))
}

export function hexBytes(text: string, what: string): Buffer {
  const bytes = fromHex(text)
  if (bytes === undefined) throw new TouchstoneError('usage.arguments', `${what} is not lower-case hex`)
  return bytes
}

/** A signature file as `sign` writes it: text, or the bytes. */
export function signatureBytes(bytes: Buffer, format: string): Buffer {
  if (format === 'raw' || format === 'der') return bytes
  const text = bytes.toString('latin1').trim()
  const decoded = format === 'hex' ? fromHex(text) : fromBase64Url(text)
  if (decoded === undefined) throw new TouchstoneError('usage.arguments', `the signature is not ${format}`)
  return decoded
}

export function wholeNumber(text: string | undefined, what: string): number | undefined {
  if (text === undefined) return undefined
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new TouchstoneError('usage.arguments', `${what} is not a whole number: ${text}`)
}

export function jsonObject(text: string, what: string): Record<string, never> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new TouchstoneError('usage.arguments', `${what} is not JSON`, { cause })
  }
  if (isObject(value)) return value
  throw new TouchstoneError('usage.arguments', `${what} is not a JSON object`)
}

/** What it holds is for the service to judge. */
function isObject(value: unknown): value is Record<string, never> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
