import { makeCertificationRequest } from '../ca/index.ts'
import { toHex, TouchstoneError } from '../core/index.ts'
import { activateCredential, certifyCreation, signDigest, type SignedAttest, type TpmTools } from '../device/index.ts'
import {
  LIMITS,
  onboardingBinding,
  onboardingChallenge,
  onboardingProof,
  onboardingResult,
  type OnboardingChallenge,
  type PcrBank,
} from '../wire/index.ts'
import type { AgentConfig } from './config.ts'
import type { OnEvent } from './events.ts'
import type { Identity } from './identity.ts'
import { linkQuote } from './link.ts'
import { checkIssued } from './issued-certificates.ts'
import { readEventLog, readImaPiece } from './measurement-logs.ts'
import { implementedBanks, quoteAsAsked, type AnsweredQuote } from './quoting.ts'
import type { StoredEnrolment } from './state.ts'
import { quoteWithUserspace } from './userspace-log.ts'
import type { VerifierClient } from './verifier-client.ts'

export interface OnboardingInput {
  readonly tools: TpmTools
  readonly identity: Identity
  readonly config: AgentConfig
  readonly client: VerifierClient
  readonly onEvent: OnEvent
  readonly signal?: AbortSignal | undefined
}

/**
 * Onboarding in two round trips. Nothing of it needs to be remembered: with the same EK, AK and device key it can be
 * begun again at any time, and the verifier answers a node that it has admitted already with the same NodeId.
 */
export async function onboard(input: OnboardingInput): Promise<StoredEnrolment> {
  const { tools, identity, config, client, onEvent, signal } = input
  const { endorsement, ak, device, akName } = identity
  onEvent({ type: 'onboarding', step: 'begin' })
  const pcrBanks = await implementedBanks(tools)
  const session = await client.post(
    '/v1/onboarding/begin',
    {
      ekPublic: endorsement.ek.publicArea,
      ekCertificate: endorsement.certificate,
      ekChain: endorsement.chain,
      akPublic: ak.publicArea,
      model: config.model,
      serial: config.serial,
      pcrBanks,
    },
    onboardingChallenge,
    signal,
  )
  const secret = await activateCredential(tools, endorsement.ek, ak, session)
  onEvent({ type: 'onboarding', step: 'activated' })
  const request = await makeCertificationRequest(device.publicArea, config.serial, (digest) =>
    signDigest(tools, device, digest),
  )
  const { quoted: proven, userspaceLog } = await quoteWithUserspace({ file: config.userspaceLog, onEvent }, (log) =>
    prove(input, session, { request, pcrBanks, userspaceLog: log }),
  )
  const link = config.link === undefined ? undefined : await linkQuote(config.link, proven.quote, onEvent, { signal })
  onEvent({ type: 'onboarding', step: 'finish' })
  const { nodeId, deviceCertificate, akCertificate, chain, interval } = await client.post(
    '/v1/onboarding/finish',
    {
      session: session.session,
      proof: onboardingProof(secret, proven.binding),
      request,
      devicePublic: device.publicArea,
      certification: proven.certification.attest,
      certificationSignature: proven.certification.signature,
      quote: proven.quote.attest,
      quoteSignature: proven.quote.signature,
      eventLog: proven.eventLog,
      userspaceLog,
      imaLog: proven.imaLog,
      imaMore: proven.imaMore,
      untrustedPcrs: proven.quote.untrustedPcrs,
      link,
    },
    onboardingResult,
    signal,
  )
  checkIssued(client.trust, identity, { deviceCertificate, akCertificate, chain })
  return {
    version: 1,
    verifier: config.verifier,
    nodeId,
    akName: toHex(akName),
    deviceCertificate,
    akCertificate,
    chain,
    interval,
  }
}

interface Proven {
  readonly binding: Buffer
  readonly certification: SignedAttest
  readonly quote: AnsweredQuote
  readonly eventLog: Buffer
  readonly imaLog: Buffer | undefined
  readonly imaMore: true | undefined
}

interface ToProve {
  readonly request: Buffer
  readonly pcrBanks: readonly PcrBank[]
  readonly userspaceLog: Buffer | undefined
}

/** IMA measures whatever runs, the tools of the agent included: a list of a busy node settles after a few rounds. */
const IMA_ATTEMPTS = 8

/**
 * Certification and quote over one binding. The binding covers the logs, so they are read first; when IMA's list grew
 * until the quote was made, the quote is ahead of the list that it is bound to, and everything is done again. Of a list
 * that is longer than a request its beginning is sent, which the quote is ahead of anyway.
 */
async function prove(
  { tools, identity, config, onEvent }: OnboardingInput,
  session: OnboardingChallenge,
  { request, pcrBanks, userspaceLog }: ToProve,
): Promise<Proven> {
  const { ak, akName, device, deviceName, deviceCreation, endorsement } = identity
  const eventLog = await readEventLog(config.eventLog)
  for (let attempt = 0; attempt < IMA_ATTEMPTS; attempt++) {
    const { imaLog, imaMore } = await firstOfIma(config.imaLog)
    const binding = onboardingBinding({
      session: session.session,
      ekSpki: endorsement.ekSpki,
      akName,
      deviceKeyName: deviceName,
      request,
      eventLog,
      imaLog: imaLog ?? Buffer.alloc(0),
      imaMore,
      userspaceLog,
      model: config.model,
      serial: config.serial,
      pcrBanks,
    })
    const certification = await certifyCreation(tools, ak, device, deviceCreation, binding)
    onEvent({ type: 'onboarding', step: 'certified' })
    const quote = await quoteAsAsked(tools, identity, session.pcrs, binding)
    const now = await firstOfIma(config.imaLog)
    const isSame = now.imaMore === imaMore && now.imaLog?.byteLength === imaLog?.byteLength
    if (isSame) return { binding, certification, quote, eventLog, imaLog, imaMore }
  }
  throw new TouchstoneError('agent.log', "IMA's list grew during each of several quotes")
}

/** IMA's list, as far as a request carries it; nothing for a node without one. */
async function firstOfIma(file: string | undefined): Promise<Pick<Proven, 'imaLog' | 'imaMore'>> {
  if (file === undefined) return { imaLog: undefined, imaMore: undefined }
  const { bytes, more } = await readImaPiece(file, 0, LIMITS.imaLog)
  return { imaLog: bytes.byteLength === 0 ? undefined : bytes, imaMore: more ? true : undefined }
}
