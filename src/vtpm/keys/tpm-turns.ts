import { isTouchstoneError } from '../../core/index.ts'
import { responseCodeOf } from '../../device/index.ts'
import type { CommandAuth } from '../../tpm/index.ts'
import type { LoadedObject, SessionUse, TpmClient, TpmSession } from '../hardware/index.ts'
import { type LoadedKeys, loadedKeys } from './loaded-keys.ts'
import { oneAtATime } from './one-at-a-time.ts'

/** What is in the TPM for one tenant: its keys, and the session under which its commands run. */
export interface TpmTurns {
  /** One operation, when earlier ones have ended; once more from the start where the TPM has forgotten what was loaded. */
  run<T>(work: (turn: TpmTurn) => Promise<T>): Promise<T>
  close(): Promise<void>
}

export interface TpmTurn {
  readonly client: TpmClient
  readonly loaded: LoadedKeys
  /** The tenant's session, for the next command. */
  use(options?: SessionUse): Promise<CommandAuth>
  /** Runs `work`, again with one key less in the TPM while it has no room. */
  withRoom<T>(work: () => Promise<T>): Promise<T>
}

export interface TurnOptions {
  readonly client: TpmClient
  /** Salts the session: what is unsealed and decrypted is hidden on the bus. */
  readonly saltKey: LoadedObject
  /** How many keys stay in the TPM, the parent among them; 2 at least. */
  readonly capacity: number
  /** Milliseconds without an operation after which the session is flushed: a TPM has about 64 for everybody. */
  readonly sessionIdleMs: number
}

const TPM_RC_OBJECT_MEMORY = 0x902

/**
 * That a handle is not there (TPM_RC_REFERENCE_H0 to H6 and S0 to S6, TPM_RC_HANDLE), or that it is something else than
 * it was, so that the session's HMAC does not fit (TPM_RC_AUTH_FAIL, TPM_RC_BAD_AUTH): the TPM was reset meanwhile.
 */
const isForgotten = (rc: number) =>
  (rc >= 0x910 && rc <= 0x916) || (rc >= 0x918 && rc <= 0x91e) || rc === 0x8b || rc === 0x8e || rc === 0xa2

/**
 * The session is salted and kept from command to command, so that a signature is one command. Its HMAC covers the Name of
 * the key and what is signed: nothing between broker and TPM can exchange either, and a handle that has become another
 * key's never signs.
 */
export function tpmTurns({ client, saltKey, capacity, sessionIdleMs }: TurnOptions): TpmTurns {
  const queue = oneAtATime()
  // At the end of a scope, which does not mind when the handle is gone already.
  const flush = (handle: number): Promise<void> =>
    client.scope((scope) => {
      scope.flushLater(handle)
      return Promise.resolve()
    })
  const loaded = loadedKeys(Math.max(2, capacity), flush)
  let session: TpmSession | undefined
  let timer: NodeJS.Timeout | undefined

  const turn: TpmTurn = {
    client,
    loaded,
    async use(options) {
      session ??= await client.scope(async (scope) => {
        const begun = await scope.startSession('hmac', saltKey)
        scope.keep(begun.handle)
        return begun
      })
      return session.use(options)
    },
    async withRoom(work) {
      for (;;) {
        try {
          return await work()
        } catch (error) {
          if (responseCodeOf(error) !== TPM_RC_OBJECT_MEMORY || !(await loaded.dropOldest())) throw error
        }
      }
    },
  }
  const endSession = async (): Promise<void> => {
    const ended = session
    session = undefined
    if (ended !== undefined) await flush(ended.handle)
  }
  const attempt = async <T>(work: (turn: TpmTurn) => Promise<T>, isSecond: boolean): Promise<T> => {
    try {
      return await work(turn)
    } catch (error) {
      const rc = responseCodeOf(error)
      if (rc !== undefined && isForgotten(rc) && !isSecond) {
        // Flushed all the same: what is there still would stay there. A handle is this client's own, or nobody's.
        await loaded.dropAll()
        await endSession()
        return await attempt(work, true)
      }
      // After a refusal no nonce has moved; after anything else nobody knows what the session's is.
      if (rc === undefined && isTouchstoneError(error)) await endSession()
      throw error
    }
  }
  return {
    run: (work) =>
      queue.run(async () => {
        clearTimeout(timer)
        try {
          return await attempt(work, false)
        } finally {
          timer = setTimeout(() => void queue.run(endSession).catch(() => undefined), sessionIdleMs).unref()
        }
      }),
    close: () =>
      queue.run(async () => {
        clearTimeout(timer)
        await loaded.dropAll()
        await endSession()
      }),
  }
}
