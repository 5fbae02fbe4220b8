import { randomInt } from 'node:crypto'
import type { Logger } from 'pino'
import { toHex, toRfc3339, type Clock } from '../core/index.ts'
import { openTpmTools, responseCodeOf, signDigest } from '../device/index.ts'
import type { AttestationResult, EvidenceRequest } from '../wire/index.ts'
import { attest } from './attest.ts'
import { makeCertificationRequest } from './certification-request.ts'
import type { AgentConfig } from './config.ts'
import type { AgentEvent, OnEvent } from './events.ts'
import { openIdentity, type Identity } from './identity.ts'
import { checkIssued } from './issued-certificates.ts'
import { onboard } from './onboard.ts'
import { isRenewalDue, validityOf } from './renewal.ts'
import { lockState } from './state-lock.ts'
import { openState, openStateDirectory, type StoredEnrolment } from './state.ts'
import { makeTrust } from './trust.ts'
import { makeVerifierClient } from './verifier-client.ts'

export interface AgentDependencies {
  readonly logger: Logger
  readonly onEvent?: OnEvent
  readonly clock?: Clock
  /** From 0 to 1, 1 excluded: for jitter. */
  readonly random?: () => number
  /** Resolves after so many milliseconds, or at once when the signal aborts. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>
}

/** One node's agent at work: its lock, its TPM, its keys and its verifier, until it is closed. */
export interface NodeSession {
  /** The enrolment that fits the keys in the TPM: from disk, or by onboarding. */
  enrol(signal?: AbortSignal): Promise<StoredEnrolment>
  /** One round of attestation; enrols first where needed. Rounds run one after the other. */
  attest(request: EvidenceRequest, signal?: AbortSignal): Promise<AttestationResult>
  /** The next round asks to be admitted again, with the same keys: the verifier does not know this node. */
  forgetEnrolment(): void
  close(): Promise<void>
}

/** TPM_RC_INTEGRITY: the context of a key is from before the TPM's last reset. */
const INTEGRITY = 0x9f

export const systemClock: Clock = { now: () => Date.now() }

/** Uniform in [0, 1) from the CSPRNG: a fleet must not come back in step because its generators were seeded alike. */
export function secureRandom(): number {
  return randomInt(2 ** 47) / 2 ** 47
}

/** Throws `agent.locked`, `agent.state`, `device.tcti`. Nothing is asked of TPM or verifier yet. */
export async function openNodeSession(config: AgentConfig, deps: AgentDependencies): Promise<NodeSession> {
  const clock = deps.clock ?? systemClock
  const emit = reporter(deps)
  await openStateDirectory(config.stateDir)
  const lock = lockState(config.stateDir)
  try {
    const state = await openState(config.stateDir)
    const tools = await openTpmTools(config.tcti, { parentDirectory: config.stateDir })
    let clockState: 'plausible' | 'behind' = 'plausible'
    const trust = makeTrust(config.anchors, clock, (seen) => {
      if (seen !== clockState) emit({ type: 'clock', state: seen })
      clockState = seen
    })
    const client = makeVerifierClient({ url: config.verifier, trust })
    let identity: Identity | undefined
    let isForgotten = false
    let announced: string | undefined
    const announce = (enrolment: StoredEnrolment, onboarded: boolean): void => {
      const certificateExpires = toRfc3339(validityOf(enrolment.deviceCertificate).notAfter)
      if (onboarded || announced !== enrolment.nodeId) {
        emit({ type: 'enrolled', nodeId: enrolment.nodeId, certificateExpires, onboarded })
      }
      announced = enrolment.nodeId
    }
    const load = async (): Promise<Identity> => (identity ??= await openIdentity(tools, state, config, emit))

    const enrol = async (signal?: AbortSignal): Promise<StoredEnrolment> => {
      const keys = await load()
      const known = await state.readEnrolment()
      const fits = known?.akName === toHex(keys.akName) && known.verifier === config.verifier
      if (fits && !isForgotten) {
        announce(known, false)
        return known
      }
      const enrolment = await onboard({ tools, identity: keys, config, client, onEvent: emit, signal })
      await state.writeEnrolment(enrolment)
      isForgotten = false
      announce(enrolment, true)
      return enrolment
    }

    const round = async (asked: EvidenceRequest, signal?: AbortSignal): Promise<AttestationResult> => {
      const enrolment = await enrol(signal)
      const keys = await load()
      const renewal = isRenewalDue(enrolment.deviceCertificate, clock.now())
        ? await makeCertificationRequest(keys.device.publicArea, config.serial, (digest) =>
            signDigest(tools, keys.device, digest),
          )
        : undefined
      const request = { ...asked, ...(renewal === undefined ? {} : { renewal }) }
      const result = await attest({ tools, identity: keys, config, client, enrolment, request, signal })
      emit({
        type: 'attested',
        status: result.status,
        result: result.result,
        ...(result.reason === undefined ? {} : { reason: result.reason }),
      })
      if (result.deviceCertificate !== undefined) {
        checkIssued(trust, keys, { ...result, chain: result.chain ?? enrolment.chain })
        const renewed = renewedBy(enrolment, result)
        await state.writeEnrolment(renewed)
        emit({ type: 'renewed', notAfter: toRfc3339(validityOf(renewed.deviceCertificate).notAfter) })
      }
      return result
    }

    /** A TPM that was reset under the running agent has dropped its keys' contexts; the blobs still load. */
    const reloading = async <T>(work: () => Promise<T>): Promise<T> => {
      try {
        return await work()
      } catch (error) {
        if (responseCodeOf(error) !== INTEGRITY) throw error
        identity = undefined
        return await work()
      }
    }
    const alone = makeTurns()
    return {
      enrol: (signal) => alone(() => reloading(() => enrol(signal))),
      attest: (request, signal) => alone(() => reloading(() => round(request, signal))),
      forgetEnrolment() {
        isForgotten = true
      },
      async close() {
        client.close()
        await tools.close()
        lock.release()
      },
    }
  } catch (error) {
    lock.release()
    throw error
  }
}

function renewedBy(enrolment: StoredEnrolment, result: AttestationResult): StoredEnrolment {
  return {
    ...enrolment,
    deviceCertificate: result.deviceCertificate ?? enrolment.deviceCertificate,
    akCertificate: result.akCertificate ?? enrolment.akCertificate,
    chain: result.chain ?? enrolment.chain,
  }
}

/** The verifier takes an attestation only if its challenge is newer than the last one's: rounds must not overlap. */
function makeTurns(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return async (work) => {
    const turn = last.then(work)
    last = turn.catch(() => undefined)
    return await turn
  }
}

const WARNINGS: ReadonlySet<AgentEvent['type']> = new Set(['tpm-cleared', 'failed'])

/** Every event is a line of the log; results are for relying parties and not for logs. */
export function reporter({ logger, onEvent }: AgentDependencies): OnEvent {
  return (event) => {
    const { type, ...fields } = event
    const shown = 'result' in fields ? { ...fields, result: undefined } : fields
    const isBad =
      WARNINGS.has(type) ||
      (event.type === 'attested' && event.status !== 'affirming') ||
      (event.type === 'clock' && event.state === 'behind')
    logger[isBad ? 'warn' : 'info']({ event: type, ...shown }, type)
    onEvent?.(event)
  }
}
