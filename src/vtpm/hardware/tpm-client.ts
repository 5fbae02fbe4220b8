import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { decode } from '../../codec/index.ts'
import { equalBytes, TouchstoneError } from '../../core/index.ts'
import { tpmError } from '../../device/index.ts'
import type { Transport } from '../../device/index.ts'
import {
  authoriseCommand,
  COMMANDS,
  explainRc,
  isSessionHandle,
  nameOf,
  SESSION_CIPHER,
  sessionKey,
  sessionSalt,
  TPM2B_PRIVATE,
  TPM2B_PUBLIC,
  TPM_RH,
} from '../../tpm/index.ts'
import type { CommandAuth, SessionState } from '../../tpm/index.ts'
import type { Authorisations, Entity, LoadedObject, SealedBlob, TpmClient, TpmScope, TpmSession } from './types.ts'

const HASH = 'sha256'
const NONCE_SIZE = 32
const EMPTY = Buffer.alloc(0)

/** Milliseconds before each repetition: about 6 s in all, which a TPM's self-test and its NV rate limit stay below. */
const BACKOFF = [20, 50, 100, 200, 400, 800, 1600, 3000]

const NAMES = new Map(Object.entries(COMMANDS).map(([name, { code }]) => [code, name]))

export interface TpmClientOptions {
  /** For tests: how to wait before a repetition. */
  readonly wait?: (ms: number) => Promise<unknown>
}

/** A client over a bare TPM, or over the lane. */
export function openTpmClient(transport: Transport, { wait = delay }: TpmClientOptions = {}): TpmClient {
  /** Sessions by handle, as they are after the last command. */
  const sessions = new Map<number, SessionState>()

  const settle = (auths: Authorisations, nonces: readonly Buffer[]): void => {
    const used = auths.flatMap((auth) => ('session' in auth ? [auth] : []))
    used.forEach(({ session, continues }, index) => {
      const nonceTpm = nonces[index]
      if (!continues || nonceTpm === undefined) forget(session.handle)
      else sessions.set(session.handle, { ...session, nonceTpm })
    })
  }
  const forget = (handle: number): void => {
    sessions.get(handle)?.key.fill(0)
    sessions.delete(handle)
  }
  const run: TpmClient['run'] = async (command, handles, parameters, authorisations) => {
    const auths = authorisations ?? Array.from({ length: command.authorisations }, () => ({ password: EMPTY }))
    const { bytes, open } = authoriseCommand(command, handles, parameters, auths)
    for (let attempt = 0; ; attempt++) {
      const opened = open(await transport.send(bytes))
      if (opened.ok) {
        settle(auths, opened.response.nonces)
        return opened.response.response
      }
      const pause = BACKOFF[attempt]
      // Room for an object or session is not this client's to make: what it loads, it flushes.
      if (explainRc(opened.rc).retry !== 'later' || pause === undefined) {
        throw tpmError(NAMES.get(command.code) ?? 'TPM', opened.rc)
      }
      await wait(pause)
    }
  }

  const startSession = async (type: SessionState['type'], saltKey?: LoadedObject): Promise<SessionState> => {
    const nonceCaller = randomBytes(NONCE_SIZE)
    const { salt, encryptedSalt } = saltFor(saltKey)
    const { sessionHandle, nonceTPM } = await run(
      COMMANDS.StartAuthSession,
      { tpmKey: saltKey ?? TPM_RH.null, bind: TPM_RH.null },
      { nonceCaller, encryptedSalt, sessionType: type, symmetric: SESSION_CIPHER, authHash: HASH },
    )
    const key = sessionKey(HASH, salt, nonceTPM, nonceCaller)
    salt.fill(0)
    const state = { handle: sessionHandle, type, hash: HASH, key, nonceTpm: nonceTPM } as const
    sessions.set(sessionHandle, state)
    return state
  }

  const openScope = (): { readonly scope: TpmScope; readonly end: () => Promise<void> } => {
    const held = new Set<number>()
    const flush = async (handle: number): Promise<void> => {
      held.delete(handle)
      // The TPM has ended it itself with its last command.
      if (isSessionHandle(handle) && !sessions.has(handle)) return
      forget(handle)
      // Best effort: what is gone already is what was wanted, and a lost TPM has forgotten it too.
      await run(COMMANDS.FlushContext, {}, { flushHandle: handle }).catch(() => undefined)
    }
    const scope: TpmScope = {
      run,
      async startSession(type, saltKey): Promise<TpmSession> {
        const { handle } = await startSession(type, saltKey)
        held.add(handle)
        return {
          handle,
          use({ authValue = EMPTY, decrypt = false, encrypt = false, last = false } = {}): CommandAuth {
            const session = sessions.get(handle)
            if (session === undefined) throw new TouchstoneError('device.unavailable', 'the session has ended')
            return { session, authValue, decrypt, encrypt, continues: !last, nonceCaller: randomBytes(NONCE_SIZE) }
          },
          end: () => flush(handle),
        }
      },
      async load(parent, blob, authorisations) {
        const { loaded, said } = await load(run, parent, blob, authorisations)
        held.add(loaded.handle)
        checkName(loaded, said)
        return loaded
      },
      flushLater: (handle) => void held.add(handle),
      keep: (handle) => void held.delete(handle),
    }
    return {
      scope,
      async end() {
        for (const handle of [...held].reverse()) await flush(handle)
      },
    }
  }

  let last: Promise<unknown> = Promise.resolve()
  return {
    run,
    async scope(work) {
      const turn = last.then(async () => {
        const { scope, end } = openScope()
        try {
          return await work(scope)
        } finally {
          await end()
        }
      })
      last = turn.catch(() => undefined)
      return await turn
    },
    close: () => transport.close(),
  }
}

function saltFor(saltKey: LoadedObject | undefined): { readonly salt: Buffer; readonly encryptedSalt: Buffer } {
  if (saltKey === undefined) return { salt: EMPTY, encryptedSalt: EMPTY }
  const { publicArea } = saltKey
  if (publicArea.type !== 'ecc' && publicArea.type !== 'rsa') {
    throw new TouchstoneError('tpm.algorithm_unsupported', `a session cannot be salted by a ${publicArea.type} key`)
  }
  return sessionSalt(publicArea, randomBytes)
}

/** `said` is the Name that the TPM states; the object's own is computed here. */
async function load(
  run: TpmClient['run'],
  parent: Entity,
  blob: SealedBlob,
  authorisations: Authorisations | undefined,
): Promise<{ readonly loaded: LoadedObject; readonly said: Buffer }> {
  const publicArea = decode('TPM2B_PUBLIC', TPM2B_PUBLIC, blob.public)
  const inPrivate = decode('TPM2B_PRIVATE', TPM2B_PRIVATE, blob.private)
  const { objectHandle, name } = await run(
    COMMANDS.Load,
    { parentHandle: parent },
    { inPrivate, inPublic: publicArea },
    authorisations,
  )
  return { loaded: { handle: objectHandle, name: nameOf(publicArea), publicArea }, said: name }
}

/** What was loaded must be what was asked for; commands under a session cover the Name again. */
function checkName({ name }: Entity, said: Buffer): void {
  if (!equalBytes(name, said)) throw new TouchstoneError('tpm.response_unauthentic', 'another object was loaded')
}
