import { z } from 'zod'
import { bytesSchema, hexSchema } from './bytes.ts'
import { issued, obtainRequest } from './issue-request.ts'
import { LIMITS } from './limits.ts'
import { linkedEvidence } from './link.ts'
import { pcrBanks } from './pcr-banks.ts'
import { registerValues } from './register-values.ts'

const structure = bytesSchema(LIMITS.structure)

/** `POST /v1/attestation/challenge` */
export const challengeRequest = z.strictObject({
  nodeId: z.uuid(),
  /** Name of the AK that will quote: hash algorithm and digest, 34 bytes for SHA-256. */
  akName: bytesSchema(66, 22),
  /** As at enrolment: a quote over another choice is not taken. */
  pcrBanks,
  /** The agent sends IMA logs in parts; those of version 0.1.0 do not, and take no answer that speaks of it. */
  ima: z.literal(true).optional(),
})

/**
 * The same shape, whether the node is known or not. Agents read answers of later verifiers, too: what they do not know in
 * one says nothing to them.
 */
export const challenge = z.object({
  nonce: bytesSchema(128),
  pcrs: z.string(),
  /** SHA-256 of the firmware event log that the verifier already has for this node. */
  knownEventLog: hexSchema(),
  /** What the verifier calls the part of the IMA log that it already has, where it was asked; see `imaPart`. */
  knownIma: hexSchema().optional(),
})

/**
 * Which part of an IMA log comes along. A kernel's log grows for as long as it runs, so only what is new is sent. Where
 * the part begins, and what of it was there before the quote, is in the quote's qualifying data; the entries themselves
 * are in PCR 10.
 */
export const imaPart = z.strictObject({
  /** `imaLog` begins where the part of this name ends; absent: at the beginning of the log. */
  known: hexSchema().optional(),
  /** So many bytes of `imaLog` were there before the quote. */
  quoted: z.number().int().nonnegative().max(LIMITS.imaLog),
  /** The log is longer than `imaLog` may be: the next evidence goes on behind it. */
  more: z.boolean(),
})
export type ImaPart = z.output<typeof imaPart>

/** Profile and serialisation of a result: `draft-ietf-rats-ear-03` or the one of 2023; JWT, or CWT in base64url. */
export const resultSpelling = z.strictObject({
  profile: z.enum(['ear-03', 'veraison-2023']).optional(),
  format: z.enum(['jwt', 'cwt']).default('jwt'),
})

/**
 * What a node may ask for along with its evidence. It is part of the quote's qualifying data, so that nobody on the
 * way can add, drop or swap it.
 */
export const evidenceRequest = z.strictObject({
  /** PKCS#10 by the enrolled device key: renew the device and AK certificates. */
  renewal: bytesSchema(LIMITS.request).optional(),
  /** What the node's broker obtains; not in one quote with a renewal. */
  obtain: obtainRequest.optional(),
  /** Who the result is for, and the nonce that they gave. */
  audience: z.string().min(1).max(256).optional(),
  relyingPartyNonce: z
    .string()
    .min(8)
    .max(88)
    // RFC 9711 section 4.1 counts bytes.
    .refine((nonce) => Buffer.byteLength(nonce, 'utf8') <= 88, 'expected 8 to 88 bytes')
    .optional(),
  /** How the result is to be spelled; by default as the verifier is configured, as a JWT. */
  result: resultSpelling.optional(),
})

/** `POST /v1/attestation/evidence` */
export const evidence = z.strictObject({
  nodeId: z.uuid(),
  nonce: bytesSchema(128),
  quote: structure,
  signature: structure,
  /** Absent when its digest is the one that the challenge named. */
  /** Empty is readable as nothing, and judged so: a coded refusal would leave the last good verdict standing. */
  eventLog: bytesSchema(LIMITS.eventLog, 0).optional(),
  eventLogDigest: hexSchema(),
  /** systemd's `tpm2-measure.log`, whole; its bytes are in the quote's qualifying data. Absent where there is none. */
  userspaceLog: bytesSchema(LIMITS.userspaceLog).optional(),
  /** From the beginning, or from where `ima` says; absent where nothing was measured since. */
  imaLog: bytesSchema(LIMITS.imaLog).optional(),
  ima: imaPart.optional(),
  untrustedPcrs: registerValues.optional(),
  /** A guest's: its host's quote over this one. Outside of the guest's own quote, because it is made over that. */
  link: linkedEvidence.optional(),
  request: evidenceRequest
    .refine(({ renewal, obtain }) => renewal === undefined || obtain === undefined, 'one thing is issued for one quote')
    .default({}),
})

export const attestationResult = z.object({
  status: z.enum(['none', 'affirming', 'warning', 'contraindicated']),
  /** EAR token: JWT, or CWT in base64url where that was asked for. */
  result: z.string(),
  /** Seconds until the next attestation is due. */
  interval: z.number().int().positive(),
  /** The first failed check in a sentence, for the node's own log. */
  reason: z.string().optional(),
  /** How much of the node's IMA log the verifier has now, and how the next challenge will call that. */
  ima: z.object({ known: hexSchema(), bytes: z.number().int().nonnegative() }).optional(),
  /** Present when a renewal was asked for and granted; PEM. */
  deviceCertificate: z.string().optional(),
  akCertificate: z.string().optional(),
  chain: z.array(z.string()).optional(),
  /** Present when something was to be obtained and granted. */
  issued: issued.optional(),
})

export type ChallengeRequest = z.output<typeof challengeRequest>
export type Challenge = z.output<typeof challenge>
export type EvidenceRequest = z.output<typeof evidenceRequest>
export type Evidence = z.output<typeof evidence>
export type AttestationResult = z.output<typeof attestationResult>
