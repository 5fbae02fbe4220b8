import { mkdir, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fromBase64Url, fromHex, isTouchstoneError, toHex, TouchstoneError } from '../../core/index.ts'
import type { ErrorCode } from '../../core/index.ts'
import { checkRelease } from '../../tpm/index.ts'
import type { ReleaseNode, ReleaseTerms } from '../../tpm/index.ts'
import { release as releaseShape } from '../../wire/index.ts'
import type { Release } from '../../wire/index.ts'
import { isMissing, replaceFile } from '../ledger/index.ts'
import type { RefusedRelease } from './types.ts'

/** A release whose form, signature, node and counter were checked. */
export interface UsableRelease {
  readonly release: Release
  readonly terms: ReleaseTerms
  readonly policy: Buffer
  /** r and s. */
  readonly signature: Buffer
}

/** A genuine one has 800 bytes. */
const MAX_FILE = 16_384
/** One for each update of a node's life. */
const MAX_FILES = 1000
const FILE = /^[^.].*\.json$/

interface Expected {
  /** DER SubjectPublicKeyInfo. */
  readonly releaseKey: Uint8Array
  readonly node: ReleaseNode
}

/** Throws `release.*`, or `decode.value` for what has not the shape of a release. */
export function checkedRelease(untrusted: unknown, { releaseKey, node }: Expected): UsableRelease {
  const parsed = releaseShape.safeParse(untrusted)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new TouchstoneError('release.malformed', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`)
  }
  const { policy, signature } = parsed.data
  return {
    release: parsed.data,
    terms: checkRelease(parsed.data, releaseKey, node),
    policy: fromHex(policy) ?? Buffer.alloc(0),
    signature: fromBase64Url(signature) ?? Buffer.alloc(0),
  }
}

/**
 * All releases in `directory`, the newest first. A file that cannot be used stops nobody from using the others: it is
 * answered with what is wrong with it.
 */
export async function readReleases(
  directory: string,
  expected: Expected,
): Promise<{ readonly usable: readonly UsableRelease[]; readonly refused: readonly RefusedRelease[] }> {
  const usable: UsableRelease[] = []
  const refused: RefusedRelease[] = []
  for (const file of await filesOf(directory)) {
    try {
      usable.push(checkedRelease(await readJson(join(directory, file)), expected))
    } catch (error) {
      if (!isTouchstoneError(error)) throw error
      refused.push({ file, code: error.code, problem: error.message })
    }
  }
  return { usable: usable.sort((a, b) => b.terms.release - a.terms.release), refused }
}

/** Keeps a release. Its name says its number and its policy, so that the same one is kept once. */
export async function keepRelease(directory: string, { release, terms, policy }: UsableRelease): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const file = `${terms.release.toString().padStart(6, '0')}-${toHex(policy).slice(0, 16)}.json`
  await replaceFile(join(directory, file), Buffer.from(`${JSON.stringify(release, undefined, 2)}\n`))
}

async function filesOf(directory: string): Promise<readonly string[]> {
  try {
    const names = (await readdir(directory)).filter((name) => FILE.test(name))
    // By name the newest are last, as keepRelease and the documentation name them.
    return names.sort().slice(-MAX_FILES)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readBounded(path))
  } catch (cause) {
    if (isTouchstoneError(cause)) throw cause
    throw malformed('it cannot be read as JSON', cause)
  }
}

async function readBounded(path: string): Promise<string> {
  const file = await open(path, 'r')
  try {
    const buffer = Buffer.alloc(MAX_FILE + 1)
    const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, 0)
    if (bytesRead > MAX_FILE) throw malformed(`it is larger than ${MAX_FILE} bytes`)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}

function malformed(problem: string, cause?: unknown): TouchstoneError {
  const code: ErrorCode = 'release.malformed'
  return new TouchstoneError(code, `this is no release: ${problem}`, cause === undefined ? {} : { cause })
}
