import { sha256, attestationResult, challenge, evidenceQualifyingData, LIMITS } from '../wire/index.ts'
import type { AttestationResult, CarriedIma, EvidenceRequest } from '../wire/index.ts'
import { isTouchstoneError, toHex, view } from '../core/index.ts'
import type { TpmTools } from '../device/index.ts'
import type { AgentConfig } from './config.ts'
import type { OnEvent } from './events.ts'
import type { Identity } from './identity.ts'
import { linkQuote } from './link.ts'
import type { ImaMemory, KnownIma } from './known-ima.ts'
import { readEventLog, readImaPiece } from './measurement-logs.ts'
import { implementedBanks, quoteAsAsked } from './quoting.ts'
import type { StoredEnrolment } from './state.ts'
import { quoteWithUserspace } from './userspace-log.ts'
import type { VerifierClient } from './verifier-client.ts'

export interface AttestationInput {
  readonly tools: TpmTools
  readonly identity: Identity
  readonly config: AgentConfig
  readonly client: VerifierClient
  readonly enrolment: StoredEnrolment
  readonly request: EvidenceRequest
  readonly onEvent: OnEvent
  /** How much of the IMA log the verifier has. */
  readonly ima: ImaMemory
  /** Told what the verifier has quoted, before it is. */
  readonly onAsked?: ((pcrs: string) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * One attestation: challenge, quote, evidence; of logs only what the verifier lacks. An IMA log that is longer than one
 * request carries takes rounds of its own before, in which nothing is asked for.
 */
export async function attest(input: AttestationInput): Promise<AttestationResult> {
  for (;;) {
    const round = await attestRound(input).catch(async (error: unknown) => {
      // The verifier has lost the part before this one, or the node was started again. What is refused leaves no trace.
      if (!isTouchstoneError(error, 'attestation.ima_unknown')) throw error
      input.ima.forget()
      return await attestRound(input)
    })
    if (!round.more) return round.result
  }
}

async function attestRound(
  input: AttestationInput,
): Promise<{ readonly result: AttestationResult; readonly more: boolean }> {
  const { tools, identity, config, client, enrolment, onEvent, signal } = input
  const { nodeId } = enrolment
  const asked = await client.post(
    '/v1/attestation/challenge',
    {
      nodeId,
      akName: identity.akName,
      pcrBanks: await implementedBanks(tools),
      ...(config.imaLog === undefined ? {} : { ima: true }),
    },
    challenge,
    signal,
  )
  input.onAsked?.(asked.pcrs)
  const before = await newOfIma(
    config.imaLog,
    asked.knownIma === undefined ? undefined : input.ima.after(asked.knownIma),
  )
  const more = before?.part.more === true
  const request = more ? {} : input.request
  const { quoted: quote, userspaceLog } = await quoteWithUserspace({ file: config.userspaceLog, onEvent }, (log) =>
    quoteAsAsked(tools, identity, asked.pcrs, evidenceQualifyingData(asked.nonce, request, before, log)),
  )
  const link = config.link === undefined ? undefined : await linkQuote(config.link, quote, onEvent, { signal })
  // Logs after the quote: a list that runs ahead of it is matched at a prefix, one that lags behind cannot be matched.
  const eventLog = await readEventLog(config.eventLog)
  const imaLog = before && (await withWhatFollowed(config.imaLog, before))
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
        userspaceLog,
        imaLog: imaLog?.byteLength === 0 ? undefined : imaLog,
        ima: before?.part,
        untrustedPcrs: quote.untrustedPcrs,
        link,
        request,
      },
      attestationResult,
      signal,
    )
  const result = await submit(!isKnown).catch(async (error: unknown) => {
    // It was dropped between challenge and evidence. What is refused leaves the nonce unused.
    if (isKnown && isTouchstoneError(error, 'attestation.log_unknown')) return await submit(true)
    throw error
  })
  await input.ima.remember(result.ima)
  // A verifier that keeps nothing of a part would be sent it for ever.
  return { result, more: more && result.ima !== undefined && result.ima.bytes > before.from }
}

/** A part of the IMA log, and where it begins. */
interface NewOfIma extends CarriedIma {
  readonly from: number
}

/** Room for what is measured while the TPM quotes, so that the last entry is not cut: some thousands of them. */
const GROWTH = 1 << 20

/** What is behind the part that the verifier has; `undefined` for a node without IMA. */
async function newOfIma(file: string | undefined, known: KnownIma | undefined): Promise<NewOfIma | undefined> {
  if (file === undefined) return undefined
  const { from, bytes, more } = await readImaPiece(file, known?.bytes ?? 0, LIMITS.imaLog - GROWTH)
  if (from === 0 && bytes.byteLength === 0) return undefined
  const name = known === undefined || from === 0 ? {} : { known: known.known }
  return { from, part: { ...name, quoted: bytes.byteLength, more }, log: bytes }
}

async function withWhatFollowed(file: string | undefined, { from, part, log }: NewOfIma): Promise<Buffer> {
  const before = view(log)
  const room = LIMITS.imaLog - before.byteLength
  if (file === undefined || part.more || room === 0) return before
  const { bytes, from: start } = await readImaPiece(file, from + before.byteLength, room)
  // A list that became shorter is another one.
  return start === from + before.byteLength ? Buffer.concat([before, bytes]) : before
}
