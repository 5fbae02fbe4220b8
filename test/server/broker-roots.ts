import { join } from 'node:path'
import type { KeyBlob } from '../../src/device/index.ts'
import { encodeIssueRequest, type ReleaseRequest } from '../../src/wire/index.ts'
import { type BrokerRoots, withBrokerRoots } from '../fixtures/node-roots.ts'
import { boxDirectory, type Cleanup } from './boxes.ts'
import type { EkChoice } from './test-node.ts'

interface Held {
  readonly stored: KeyBlob
}

/** The broker of a box, on the TPM of that box, for one request at a time. `keys` are those of the agent beside it. */
export function brokerRoots(
  t: Cleanup,
  box: { readonly powered: { readonly tcti: string } },
  ekKind: EkChoice = 'H-3',
) {
  const stateDir = join(boxDirectory(t), 'broker')
  const open = <T>({ stored }: Held, work: (broker: BrokerRoots) => Promise<T>): Promise<T> => {
    const ak = { ekKind, akPublic: stored.publicArea, akPrivate: stored.privateArea }
    return withBrokerRoots({ tcti: box.powered.tcti, stateDir, ak }, work)
  }
  return {
    open,
    /** The request of an honest broker. */
    request: (keys: Held, pcrs: string): Promise<ReleaseRequest> =>
      open(keys, (broker) => broker.roots.releaseRequest(broker, pcrs)),
    counter: (keys: Held) => open(keys, async ({ roots }) => Number(await roots.releaseCounter.read())),
    /** As committing releases does, or whoever is root on the node. */
    countTo: (keys: Held, value: number) =>
      open(keys, async ({ roots: { releaseCounter } }) => {
        while ((await releaseCounter.read()) < value) await releaseCounter.increment()
      }),
  }
}

/** What evidence asks for with it. */
export function asking(request: ReleaseRequest) {
  return { obtain: { kind: 'release', request: encodeIssueRequest('release', request) } } as const
}
