import { readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { JWK } from 'jose'
import { TouchstoneError } from '../core/index.ts'
import type { CertificateAuthority } from './ca-directory.ts'
import { makePrivateDirectory, readIfThere } from './private-file.ts'
import { certifiedResultsKey, type KeyFileInput, openKey, type ResultsKey } from './results-key.ts'

/** In the authority's directory: `results/<time>.key.pem`, and its certificate beside it. */
const FOLDER = 'results'
/** Where the one key was before there was rotation. */
const FIRST = { key: 'results.key.pem', certificate: 'results.pem' } as const
const KEY_FILE = /^(\d{1,15})\.key\.pem$/
const MAX_KEYS = 64

/** Times in milliseconds. */
export interface RotationTimes {
  /** How long a key signs before the next one is made. */
  readonly lifetime: number
  /** How long a key is published before it signs: relying parties keep the set they fetched for a while. */
  readonly overlap: number
  /** How long a result is good for: as long is a key published after it signed last. */
  readonly token: number
}

/**
 * The keys that sign results, one after the other. All that is known of one is in the name of its file: from when on it
 * signs. It is published as soon as the file is there, signs until the next one does, and stays published until the last
 * result that it signed has ended.
 */
export interface ResultsKeys {
  /** The key that signs now. */
  signing(): ResultsKey
  /** RFC 7517 keys for relying parties: the next ones, the one that signs, and those whose results are still good. */
  published(): readonly JWK[]
  /** Reads what another process has added or removed, makes the next key when it is time, and removes what has ended. */
  refresh(): Promise<void>
}

interface DatedKey extends ResultsKey {
  /** When it begins to sign. */
  readonly from: number
}

/** Opens the keys, and makes the first where there is none. Throws what `loadCa` throws for such files. */
export async function openResultsKeys(
  directory: string,
  ca: CertificateAuthority,
  { passphrase, random, clock }: Omit<KeyFileInput, 'now'> & { readonly clock: { now(): number } },
  times: RotationTimes,
): Promise<ResultsKeys> {
  const folder = join(directory, FOLDER)
  await makePrivateDirectory(folder)
  await adoptFirst(directory, folder)
  let keys: readonly DatedKey[] = []

  const load = async () => {
    const now = clock.now()
    const input = { passphrase, random, now }
    const found = await keyTimes(folder)
    const newest = found.at(-1)
    if (newest === undefined) found.push(now)
    // The next one, in time to be known before it signs.
    else if (now >= newest + times.lifetime - times.overlap) {
      found.push(Math.max(now + times.overlap, newest + times.lifetime))
    }
    const kept: DatedKey[] = []
    for (const [at, from] of found.entries()) {
      const ended = found[at + 1]
      const base = join(folder, String(from))
      if (ended !== undefined && now >= ended + times.token) {
        await rm(`${base}.key.pem`, { force: true })
        await rm(`${base}.pem`, { force: true })
        continue
      }
      // To decrypt one takes a quarter of a second, in which nobody is served.
      const open = keys.find((known) => known.from === from)
      const key = open?.key ?? (await openKey(`${base}.key.pem`, passphrase, random))
      kept.push({ ...(await certifiedResultsKey(base, key, ca, input)), from })
    }
    keys = kept
  }
  await load()

  return {
    signing() {
      const now = clock.now()
      const key = keys.findLast(({ from }) => from <= now) ?? keys[0]
      if (key === undefined) throw new TouchstoneError('ca.missing', 'there is no key for results')
      return key
    },
    published: () => keys.map(({ jwk }) => jwk),
    refresh: load,
  }
}

export interface Rotation {
  /** When the new key begins to sign. */
  readonly signsFrom: number
}

/**
 * Adds the next key. It is published within a minute by the verifier that runs, and signs after `overlap`; at once, and
 * with all earlier keys gone, where they can no longer be trusted (`compromised`): results that those signed then fail.
 * Throws `results.rotating` while a next key waits already.
 */
export async function rotateResultsKey(
  directory: string,
  { passphrase, random, now }: KeyFileInput,
  { overlap, compromised }: { readonly overlap: number; readonly compromised: boolean },
): Promise<Rotation> {
  const folder = join(directory, FOLDER)
  await makePrivateDirectory(folder)
  await adoptFirst(directory, folder)
  const before = await keyTimes(folder)
  const newest = before.at(-1) ?? 0
  if (!compromised && newest > now) {
    throw new TouchstoneError('results.rotating', `the next key signs from ${new Date(newest).toISOString()} on`)
  }
  const signsFrom = compromised ? now : now + overlap
  await openKey(join(folder, `${signsFrom}.key.pem`), passphrase, random)
  if (compromised) {
    for (const from of before.filter((time) => time !== signsFrom)) {
      await rm(join(folder, `${from}.key.pem`), { force: true })
      await rm(join(folder, `${from}.pem`), { force: true })
    }
  }
  return { signsFrom }
}

async function keyTimes(folder: string): Promise<number[]> {
  const times = (await readdir(folder)).flatMap((name) => {
    const [, time] = KEY_FILE.exec(name) ?? []
    return time === undefined ? [] : [Number(time)]
  })
  if (times.length > MAX_KEYS) throw new TouchstoneError('config.invalid', `${folder} holds more than ${MAX_KEYS} keys`)
  return times.sort((a, b) => a - b)
}

/** The certificate first: a key without one gets another, a certificate without its key is nothing. */
async function adoptFirst(directory: string, folder: string): Promise<void> {
  if ((await readIfThere(join(directory, FIRST.key))) === undefined) return
  if ((await readIfThere(join(directory, FIRST.certificate))) !== undefined) {
    await rename(join(directory, FIRST.certificate), join(folder, '0.pem'))
  }
  await rename(join(directory, FIRST.key), join(folder, '0.key.pem'))
}
