import { dirname, join } from 'node:path'
import type { Logger } from 'pino'
import type { Clock } from '../../core/index.ts'
import type { Guests, Instance } from '../guest/index.ts'
import { openLinker, serveLink } from '../link/index.ts'
import type { HostAttestation } from './host-attestation.ts'

export interface LinksOptions {
  readonly host: Pick<HostAttestation, 'quote'>
  readonly uid: number | undefined
  readonly clock: Clock
  readonly logger: Logger
}

/** A link socket for every running guest, `link.sock` beside the sockets of its TPM. */
export interface Links {
  open(guest: string, instance: Pick<Instance, 'controlSocket'>): void
  end(guest: string): void
  /** Whose ledger the links are about. */
  follow(guests: Pick<Guests, 'leaves'>): void
  close(): Promise<void>
}

export function serveLinks({ host, uid, clock, logger }: LinksOptions): Links {
  let guests: Pick<Guests, 'leaves'> | undefined
  const linker = openLinker({
    hostQuote: (qualifyingData) => host.quote(qualifyingData),
    ledger: {
      entries: () =>
        guests?.leaves().map(({ guest, generation, ekName }) => ({
          ...{ guest, generation, state: 'running' },
          ekName: Buffer.from(ekName),
        })) ?? [],
    },
    now: () => clock.now(),
  })
  /** What is done for each guest, one thing after the other: a server that closes takes its path with it. */
  const sockets = new Map<string, Promise<{ close(): Promise<void> } | undefined>>()
  const then = (guest: string, next: () => Promise<{ close(): Promise<void> } | undefined>): Promise<unknown> => {
    const before = sockets.get(guest) ?? Promise.resolve(undefined)
    const made = before
      .then((socket) => socket?.close())
      .then(next)
      .catch((error: unknown) => {
        // The guest runs all the same; its evidence goes unlinked, and the verifier says so.
        logger.error({ err: error, guest }, 'the guest has no link socket')
        return undefined
      })
    sockets.set(guest, made)
    return made
  }
  const end = (guest: string): Promise<unknown> => then(guest, () => Promise.resolve(undefined))
  return {
    open(guest, { controlSocket }) {
      const path = join(dirname(controlSocket), 'link.sock')
      void then(guest, () => serveLink({ path, guest, linker, uid }))
    },
    end: (guest) => void end(guest),
    follow(followed) {
      guests = followed
    },
    async close() {
      await linker.close()
      await Promise.all([...sockets.keys()].map(end))
    },
  }
}
