import type { TpmtSignature } from '../../src/tpm/index.ts'

/** A signature in the form that OpenSSL takes without being told anything: for ECDSA the SEQUENCE of r and s. */
export function derSignature(signature: TpmtSignature): Buffer {
  if (signature.sigAlg === 'rsassa') return signature.sig
  if (signature.sigAlg !== 'ecdsa') throw new Error(`no bench signs with ${signature.sigAlg}`)
  const content = Buffer.concat([integer(signature.signatureR), integer(signature.signatureS)])
  return Buffer.concat([Buffer.from([0x30, content.byteLength]), content])
}

function integer(value: Buffer): Buffer {
  const first = value.findIndex((byte) => byte !== 0)
  const digits = first < 0 ? Buffer.alloc(1) : value.subarray(first)
  const positive = (digits[0] ?? 0) < 0x80 ? digits : Buffer.concat([Buffer.alloc(1), digits])
  return Buffer.concat([Buffer.from([0x02, positive.byteLength]), positive])
}
