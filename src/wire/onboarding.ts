import { z } from 'zod'
import { bytesSchema } from './bytes.ts'
import { LIMITS } from './limits.ts'
import { linkedEvidence } from './link.ts'
import { pcrBanks } from './pcr-banks.ts'
import { registerValues } from './register-values.ts'

const structure = bytesSchema(LIMITS.structure)
const certificate = bytesSchema(LIMITS.certificate)

/** What a node says of itself: untrusted until a manifest or an operator says the same. Printable ASCII only. */
const claim = z
  .string()
  .min(1)
  .max(LIMITS.claim)
  .regex(/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/, 'expected printable ASCII without surrounding spaces')

/** First round: who the node's TPM says it is. `POST /v1/onboarding/begin`. */
export const onboardingBegin = z.strictObject({
  /** TPM2B_PUBLIC of the EK, re-created on the node from its TCG template. */
  ekPublic: structure,
  /** DER, as found in the TPM's NV; absent where the manufacturer put none there. */
  ekCertificate: certificate.optional(),
  /** Intermediates that the TPM carries (on-die CA). Material for a path, never trust. */
  ekChain: z.array(certificate).max(LIMITS.certificateChain).default([]),
  /** TPM2B_PUBLIC of the AK. */
  akPublic: structure,
  model: claim,
  serial: claim,
  pcrBanks,
})

export const onboardingChallenge = z.object({
  /** UUIDv7 of the pending session. */
  session: z.string(),
  /** TPM2B_ID_OBJECT. */
  credentialBlob: structure,
  /** TPM2B_ENCRYPTED_SECRET. */
  encryptedSecret: structure,
  /** What to quote, for example `sha256:0,1,2+sha1:0,1`. */
  pcrs: z.string(),
  /** RFC 3339; the session is gone after it. */
  expires: z.string(),
})

/** Second round: proof of the secret, and everything bound to it. `POST /v1/onboarding/finish`. */
export const onboardingFinish = z.strictObject({
  session: z.uuid(),
  /** HMAC-SHA256 of the binding under the activated secret. */
  proof: bytesSchema(32, 32),
  /** PKCS#10, signed by the device key. */
  request: bytesSchema(LIMITS.request),
  /** TPM2B_PUBLIC of the device key. */
  devicePublic: structure,
  /** TPMS_ATTEST of type CREATION over the device key; its extraData is the binding. */
  certification: structure,
  certificationSignature: structure,
  /** TPMS_ATTEST of type QUOTE; its extraData is the binding. */
  quote: structure,
  quoteSignature: structure,
  /** Empty is readable as nothing, and judged so: a coded refusal would leave the last good verdict standing. */
  eventLog: bytesSchema(LIMITS.eventLog, 0),
  /** systemd's `tpm2-measure.log`; absent where there is none. */
  userspaceLog: bytesSchema(LIMITS.userspaceLog).optional(),
  imaLog: bytesSchema(LIMITS.imaLog).optional(),
  /** The log is longer than `imaLog` may be: this is its beginning, and attestations bring the rest. */
  imaMore: z.literal(true).optional(),
  untrustedPcrs: registerValues.optional(),
  /** A guest's: its host's quote over this one. */
  link: linkedEvidence.optional(),
})

export const onboardingResult = z.object({
  nodeId: z.string(),
  /** PEM. */
  deviceCertificate: z.string(),
  akCertificate: z.string(),
  /** PEM, issuing CA then root. */
  chain: z.array(z.string()),
  /** Seconds until the first attestation is due. */
  interval: z.number().int().positive(),
})

export type OnboardingBegin = z.output<typeof onboardingBegin>
export type OnboardingChallenge = z.output<typeof onboardingChallenge>
export type OnboardingFinish = z.output<typeof onboardingFinish>
export type OnboardingResult = z.output<typeof onboardingResult>
