import { decode } from '../codec/index.ts'
import { isTouchstoneError, toHex, TouchstoneError } from '../core/index.ts'
import { createKey, loadKey, type KeyBlob, type LoadedKey, type TpmTools } from '../device/index.ts'
import { nameOf, TPM2B_PUBLIC } from '../tpm/index.ts'
import { sha256 } from '../wire/index.ts'
import type { AgentConfig } from './config.ts'
import { openEndorsement, type Endorsement } from './endorsement.ts'
import type { OnEvent } from './events.ts'
import type { AgentState, StoredKeys } from './state.ts'

/** The node's keys, loaded and ready, until the TPM resets. */
export interface Identity {
  readonly endorsement: Endorsement
  readonly ak: LoadedKey
  readonly akName: Buffer
  readonly device: LoadedKey
  readonly deviceName: Buffer
  /** What certification of the device key needs. */
  readonly deviceCreation: Pick<KeyBlob, 'creationHash' | 'creationTicket'>
}

/**
 * Finds the node's keys on disk and loads them, or makes them. They are on disk before anybody is told of them, so that
 * a node that is killed at any moment comes back with the keys that the verifier may know already. Keys that this TPM did
 * not wrap (it was cleared or exchanged) are put aside, said to be so, and replaced.
 */
export async function openIdentity(
  tools: TpmTools,
  state: AgentState,
  config: Pick<AgentConfig, 'ek'>,
  onEvent: OnEvent,
): Promise<Identity> {
  const stored = await readKeys(state, onEvent)
  const endorsement = await openEndorsement(tools, stored?.ekKind ?? config.ek)
  const ekDigest = toHex(sha256(endorsement.ekSpki))
  onEvent({ type: 'tpm', ek: endorsement.ek.kind, ekDigest, certificate: endorsement.certificate !== undefined })
  if (stored !== undefined) {
    try {
      if (stored.ekDigest !== ekDigest) throw new TouchstoneError('device.tpm_cleared', 'the TPM has another EK')
      return await load(tools, endorsement, stored, 'keys-loaded', onEvent)
    } catch (error) {
      if (!isTouchstoneError(error, 'device.tpm_cleared')) throw error
      onEvent({ type: 'tpm-cleared', reason: error.message })
      await state.retireKeys()
    }
  }
  const attestation = await createKey(tools, endorsement.ek, 'attestation')
  const device = await createKey(tools, endorsement.ek, 'signing')
  const keys: StoredKeys = { version: 1, ekKind: endorsement.ek.kind, ekDigest, attestation, device }
  await state.writeKeys(keys)
  return await load(tools, endorsement, keys, 'keys-made', onEvent)
}

async function load(
  tools: TpmTools,
  endorsement: Endorsement,
  keys: StoredKeys,
  type: 'keys-loaded' | 'keys-made',
  onEvent: OnEvent,
): Promise<Identity> {
  const ak = await loadKey(tools, endorsement.ek, 'ak', keys.attestation)
  const device = await loadKey(tools, endorsement.ek, 'device', keys.device)
  const akName = nameOf(decode('TPM2B_PUBLIC', TPM2B_PUBLIC, ak.publicArea))
  const deviceName = nameOf(decode('TPM2B_PUBLIC', TPM2B_PUBLIC, device.publicArea))
  onEvent({ type, akName: toHex(akName) })
  return { endorsement, ak, akName, device, deviceName, deviceCreation: keys.device }
}

/** A file of keys that cannot be read is as good as a cleared TPM: nothing on the node could bring the keys back. */
async function readKeys(state: AgentState, onEvent: OnEvent): Promise<StoredKeys | undefined> {
  try {
    return await state.readKeys()
  } catch (error) {
    if (!isTouchstoneError(error, 'agent.state')) throw error
    onEvent({ type: 'tpm-cleared', reason: error.message })
    await state.retireKeys()
    return undefined
  }
}
