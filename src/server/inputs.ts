import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { exceptionFault, splitDocuments } from '../attest/index.ts'
import { isTouchstoneError, TouchstoneError } from '../core/index.ts'
import { type Manifest, parseManifest, parseTrustStore, type TrustStore } from '../ca/index.ts'
import type { ServerConfig } from './config.ts'
import { readPrivateFile } from './private-file.ts'
import { KINDS, loadResource, type LoadedResource } from './services/policies.ts'

/** What the configuration points to. */
export interface Inputs {
  readonly trust: TrustStore
  readonly manifest: Manifest | undefined
  readonly policies: readonly LoadedResource[]
  readonly passphrase: string
}

/** Reads every file that the configuration names. Throws one `config.invalid` with the faults of all of them. */
export async function readInputs(config: ServerConfig): Promise<Inputs> {
  const faults: string[] = []
  const collect = async <T>(key: string, read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read()
    } catch (error) {
      if (isTouchstoneError(error, 'ca.file_mode')) throw error
      faults.push(`${key}: ${error instanceof Error ? error.message : String(error)}`)
      return undefined
    }
  }
  const trust = await collect('ekRoots', () => readTrust(config.ekRoots))
  const manifest = await collect('manifest', () => readManifest(config.manifest))
  const policies = await collect('policies', () => readPolicies(config.policies.path))
  const passphrase = await collect('passphraseFile', () => readPassphrase(config.passphraseFile))
  if (faults.length > 0 || trust === undefined || policies === undefined || passphrase === undefined) {
    throw new TouchstoneError('config.invalid', faults.join('; '), { details: { faults: faults.length } })
  }
  return { trust, manifest, policies, passphrase }
}

async function readTrust(paths: readonly string[]): Promise<TrustStore> {
  const files = await Promise.all(paths.map((path) => filesOf(path, /\.(?:pem|crt|cer)$/)))
  return parseTrustStore(await Promise.all(files.flat().map((file) => readFile(file, 'utf8'))))
}

async function readManifest(path: string | undefined): Promise<Manifest | undefined> {
  return path === undefined ? undefined : parseManifest(await readFile(path, 'utf8'))
}

async function readPolicies(path: string | undefined): Promise<readonly LoadedResource[]> {
  if (path === undefined) return []
  const loaded: LoadedResource[] = []
  for (const file of await filesOf(path, /\.ya?ml$/)) {
    const text = await readFile(file, 'utf8')
    const updated = Math.round((await stat(file)).mtimeMs)
    for (const document of splitDocuments(text)) {
      const resource = load(file, document, updated)
      if (loaded.some(({ kind, name }) => kind === resource.kind && name === resource.name)) {
        throw new TouchstoneError('policy.invalid', `${file}: there are two ${resource.kind} named ${resource.name}`)
      }
      loaded.push(resource)
    }
  }
  return loaded
}

function load(file: string, document: string, updated: number): LoadedResource {
  try {
    const resource = loadResource(document, { revision: 0, source: 'file', updated })
    const { parsed } = resource
    const fault = parsed.kind === KINDS.exceptions ? exceptionFault(parsed, Date.now()) : undefined
    if (fault !== undefined) throw new TouchstoneError('policy.invalid', fault)
    return resource
  } catch (cause) {
    if (!isTouchstoneError(cause)) throw cause
    throw new TouchstoneError(cause.code, `${file}: ${cause.message}`, { cause })
  }
}

/** The file itself, or the files of a folder that have one of the endings, by name. */
async function filesOf(path: string, ending: RegExp): Promise<readonly string[]> {
  if (!(await stat(path)).isDirectory()) return [path]
  const names = await readdir(path)
  return names
    .filter((name) => ending.test(name))
    .sort()
    .map((name) => join(path, name))
}

/** Its text without the line feed at its end. Throws `ca.missing`, `ca.file_mode`. */
export async function readPassphrase(path: string): Promise<string> {
  const text = await readPrivateFile(path)
  if (text === undefined) throw new TouchstoneError('ca.missing', `there is no file ${path}`)
  return text.replace(/\r?\n$/, '')
}
