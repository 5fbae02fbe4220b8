import { sha256, attestationResult, challenge, evidenceQualifyingData } from '../wire/index.ts'
import type { AttestationResult, EvidenceRequest } from '../wire/index.ts'
import { isTouchstoneError, toHex } from '../core/index.ts'
import type { TpmTools } from '../device/index.ts'
import type { AgentConfig } from './config.ts'
import type { OnEvent } from './events.ts'
import type { Identity } from './identity.ts'
import { linkQuote } from './link.ts'
import { readEventLog, readImaLog } from './measurement-logs.ts'
import { implementedBanks, quoteAsAsked } from './quoting.ts'
import type { StoredEnrolment } from './state.ts'
import type { VerifierClient } from './verifier-client.ts'

export interface AttestationInput {
  readonly tools: TpmTools
  readonly identity: Identity
  readonly config: AgentConfig
  readonly client: VerifierClient
  readonly enrolment: StoredEnrolment
  readonly request: EvidenceRequest
  readonly onEvent: OnEvent
  /** Told what the verifier has quoted, before it is. */
  readonly onAsked?: ((pcrs: string) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** One round of attestation: challenge, quote, evidence. The firmware log travels only when the verifier lacks it. */
export async function attest(input: AttestationInput): Promise<AttestationResult> {
  const { tools, identity, config, client, enrolment, request, onEvent, signal } = input
  const { nodeId } = enrolment
  const asked = await client.post(
    '/v1/attestation/challenge',
    { nodeId, akName: identity.akName, pcrBanks: await implementedBanks(tools) },
    challenge,
    signal,
  )
  input.onAsked?.(asked.pcrs)
  const quote = await quoteAsAsked(tools, identity, asked.pcrs, evidenceQualifyingData(asked.nonce, request))
  const link = config.link === undefined ? undefined : await linkQuote(config.link, quote, onEvent, { signal })
  // Logs after the quote: a list that runs ahead of it is matched at a prefix, one that lags behind cannot be matched.
  const eventLog = await readEventLog(config.eventLog)
  const imaLog = await readImaLog(config.imaLog)
  const eventLogDigest = toHex(sha256(eventLog))
  const isKnown = asked.knownEventLog === eventLogDigest
  const submit = (withLog: boolean) =>
    client.post(
      '/v1/attestation/evidence',
      {
        nodeId,
        nonce: asked.nonce,
        quote: quote.attest,
        signature: quote.signature,
        eventLog: withLog ? eventLog : undefined,
        eventLogDigest,
        imaLog,
        untrustedPcrs: quote.untrustedPcrs,
        link,
        request,
      },
      attestationResult,
      signal,
    )
  try {
    return await submit(!isKnown)
  } catch (error) {
    // It was dropped between challenge and evidence. What is refused leaves the nonce unused.
    if (isKnown && isTouchstoneError(error, 'attestation.log_unknown')) return await submit(true)
    throw error
  }
}
