import { z } from 'zod'
import { fromBase64Url } from '../core/index.ts'
import { hexSchema } from './bytes.ts'

const base64Url = (size: number, what: string) =>
  z.string().refine((text) => fromBase64Url(text)?.byteLength === size, {
    message: `expected ${what} of ${size} bytes in base64url without padding`,
  })

/**
 * What the fleet allows one node to boot: whoever holds this file holds nothing secret. It is text throughout, so that it
 * is the same in a file, in JSON and in CBOR. See `signRelease` and `checkRelease` of src/tpm.
 */
export const release = z.strictObject({
  format: z.literal('touchstone/release/v1'),
  /** Policy reference of the node: SHA-256 over a label and the Name of its storage root. */
  nodeRef: hexSchema(32),
  /** Good as long as the node's release counter is at most this. */
  release: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
  /** As `sha256:0,2,4,7`. */
  pcrs: z.string().min(1).max(512),
  /** SHA-256 over the values of these registers, in order. */
  pcrDigest: hexSchema(32),
  /** Name of the node's release counter. */
  counter: hexSchema(34),
  /** The policy that is approved: PolicyPCR, then PolicyNV. */
  policy: hexSchema(32),
  /** Of the fleet's release key, P-256: DER SubjectPublicKeyInfo. */
  publicKey: base64Url(91, 'a P-256 SubjectPublicKeyInfo'),
  /** ECDSA over SHA-256 of policy and nodeRef: r and s. */
  signature: base64Url(64, 'an ECDSA signature'),
  /** For people; not signed. */
  description: z.string().max(200).optional(),
})

export type Release = z.output<typeof release>
