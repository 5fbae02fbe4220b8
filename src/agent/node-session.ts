import { randomInt } from 'node:crypto'
import type { Logger } from 'pino'
import { makeCertificationRequest } from '../ca/index.ts'
import { decode } from '../codec/index.ts'
import { toHex, toRfc3339, TouchstoneError, type Clock } from '../core/index.ts'
import { openTpmTools, responseCodeOf, signDigest } from '../device/index.ts'
import { nameOf, TPM2B_PUBLIC } from '../tpm/index.ts'
import type { AttestationResult, EvidenceRequest, Issued, LocalAttestationKey, ObtainRequest } from '../wire/index.ts'
import { attest } from './attest.ts'
import type { AgentConfig } from './config.ts'
import type { AgentEvent, OnEvent } from './events.ts'
import { openIdentity, type Identity } from './identity.ts'
import { checkIssued } from './issued-certificates.ts'
import { openImaMemory } from './known-ima.ts'
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
  /** Names the boot that the node is in; that of Linux by default. */
  readonly bootIdFile?: string
  /** Resolves after so many milliseconds, or at once when the signal aborts. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>
}

/** One node's agent at work: its lock, its TPM, its keys and its verifier, until it is closed. */
export interface NodeSession {
  /** The enrolment that fits the keys in the TPM: from disk, or by onboarding. */
  enrol(signal?: AbortSignal): Promise<StoredEnrolment>
  /** One round of attestation; enrols first where needed. Rounds run one after the other. */
  attest(request: EvidenceRequest, signal?: AbortSignal): Promise<AttestationResult>
  /**
   * One round of attestation that obtains something for the node's broker. Throws `issue.*` and `release.*` as the
   * verifier answers, `issue.verdict` where the evidence was not good enough.
   */
  obtain(ask: ObtainRequest, signal?: AbortSignal): Promise<Issued>
  /** The enrolled attestation key, for the broker to load it beside. Throws `agent.not_enrolled`. */
  attestationKey(): Promise<LocalAttestationKey>
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
    const ima = await openImaMemory(config.stateDir, deps.bootIdFile)
    let announced: string | undefined
    let pcrs: string | undefined
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
      // One thing is issued for one quote: what is due can wait for the next round.
      const isDue = asked.obtain === undefined && isRenewalDue(enrolment.deviceCertificate, clock.now())
      const renewal = isDue
        ? await makeCertificationRequest(keys.device.publicArea, config.serial, (digest) =>
            signDigest(tools, keys.device, digest),
          )
        : undefined
      const request = { ...asked, ...(renewal === undefined ? {} : { renewal }) }
      const onAsked = (asks: string): void => {
        pcrs = asks
      }
      const common = { tools, identity: keys, config, client, enrolment, onEvent: emit, ima, onAsked, signal }
      const result = await attest({ ...common, request })
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
      obtain: async (obtain, signal) => {
        const { status, reason, issued } = await alone(() => reloading(() => round({ obtain }, signal)))
        if (issued?.kind === obtain.kind) return issued
        throw new TouchstoneError(
          'issue.verdict',
          `the verdict is ${status}${reason === undefined ? '' : `: ${reason}`}`,
        )
      },
      async attestationKey() {
        const keys = await state.readKeys()
        const enrolment = await state.readEnrolment()
        if (keys === undefined || enrolment === undefined || isForgotten)
          throw new TouchstoneError('agent.not_enrolled')
        const { ekKind, attestation } = keys
        const { publicArea: akPublic, privateArea: akPrivate } = attestation
        const akName = toHex(nameOf(decode('TPM2B_PUBLIC', TPM2B_PUBLIC, akPublic)))
        if (akName !== enrolment.akName) throw new TouchstoneError('agent.not_enrolled')
        const { nodeId, akCertificate, chain } = enrolment
        return {
          nodeId,
          ekKind,
          akName,
          akPublic,
          akPrivate,
          akCertificate,
          chain,
          ...(pcrs === undefined ? {} : { pcrs }),
        }
      },
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

const WARNINGS: ReadonlySet<AgentEvent['type']> = new Set(['tpm-cleared', 'failed', 'unlinked', 'log-incomplete'])

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
