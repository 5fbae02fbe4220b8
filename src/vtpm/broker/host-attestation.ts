import { isTouchstoneError, TouchstoneError } from '../../core/index.ts'
import { isEkKind } from '../../device/index.ts'
import type { PcrSelection } from '../../tpm/index.ts'
import type { LocalAttestationKey } from '../../wire/index.ts'
import { loadNodeAk, openTpmClient, type NodeAk, type TpmClient } from '../hardware/index.ts'
import { ATTESTATION_CHAIN, type RunningLane } from '../lane/index.ts'
import { linkSelection, type HostQuote } from '../link/index.ts'
import type { AgentClient } from './agent-client.ts'

/** The node's AK in the broker's hands. */
export interface HostAttestation {
  /** Rejects with `key.no_attestation` as long as the node is not enrolled. */
  key(): Promise<LoadedAk>
  quote(qualifyingData: Buffer): Promise<HostQuote>
  /** Runs `work` with the AK, and once more with the AK loaded anew where the TPM was reset meanwhile. */
  use<T>(work: (host: LoadedAk) => Promise<T>): Promise<T>
  /** Asks the agent which node this is. Rejects as `key` does. */
  learn(): Promise<void>
  /** Of this node, once the agent has told. */
  readonly nodeId: string | undefined
  close(): Promise<void>
}

interface LoadedAk {
  readonly client: TpmClient
  readonly ak: NodeAk
  readonly of: LocalAttestationKey
}

/** Handles of a TPM that was reset in between, or of a lane that was closed: then it is loaded once more. */
const AGAIN = new Set(['device.tpm', 'device.unavailable', 'device.timeout', 'vtpm.tpm_lost'])

export function hostAttestation(lane: RunningLane, agent: AgentClient | undefined): HostAttestation {
  let loaded: Promise<Omit<LoadedAk, 'of'>> | undefined
  let of: LocalAttestationKey | undefined
  const load = async (attestationKey: LocalAttestationKey): Promise<Omit<LoadedAk, 'of'>> => {
    const { ekKind, akPublic, akPrivate } = attestationKey
    if (!isEkKind(ekKind)) throw new TouchstoneError('key.no_attestation', "the agent's EK is of an unknown kind")
    const audit = await lane.audit.of(ATTESTATION_CHAIN)
    const client = openTpmClient(lane.client({ tenant: 'broker-attestation', priority: 'attestation', audit }))
    try {
      return { client, ak: await loadNodeAk(client, { ekKind, akPublic, akPrivate }) }
    } catch (error) {
      await client.close()
      throw error
    }
  }
  const forget = async (): Promise<void> => {
    const before = loaded
    loaded = undefined
    // What could not be loaded has nothing to close, and what is gone from the TPM cannot be flushed.
    await before?.then(({ client }) => client.close()).catch(() => undefined)
  }
  /** Asked for each time, over a socket of this machine: the agent may have been enrolled anew. */
  const learn = async (): Promise<LocalAttestationKey> => {
    const current = await ask(agent)
    if (of?.akName !== current.akName) await forget()
    of = current
    return current
  }
  const key = async () => {
    const current = await learn()
    loaded ??= load(current).catch((error: unknown) => {
      loaded = undefined
      throw error
    })
    return { ...(await loaded), of: current }
  }
  const use: HostAttestation['use'] = async (work) => {
    try {
      return await work(await key())
    } catch (error) {
      if (!isTouchstoneError(error) || !AGAIN.has(error.code)) throw error
      await forget()
      return await work(await key())
    }
  }
  return {
    key,
    use,
    quote: (qualifyingData) =>
      use(async ({ ak, of: current }) => {
        const { attest, signature } = await ak.quote(selectionOf(current), qualifyingData)
        return { host: current.nodeId, quote: attest, signature }
      }),
    async learn() {
      await learn()
    },
    get nodeId() {
      return of?.nodeId
    },
    close: forget,
  }
}

async function ask(agent: AgentClient | undefined): Promise<LocalAttestationKey> {
  if (agent === undefined) throw new TouchstoneError('key.no_attestation', 'the broker is configured without an agent')
  return await agent.attestationKey().catch((cause: unknown) => {
    throw new TouchstoneError('key.no_attestation', undefined, { cause })
  })
}

function selectionOf({ pcrs }: LocalAttestationKey): PcrSelection {
  if (pcrs === undefined) throw new TouchstoneError('key.no_attestation', 'the verifier has not asked this node yet')
  return linkSelection(pcrs)
}
