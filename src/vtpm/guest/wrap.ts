import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  hkdfSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto'
import { TouchstoneError, toHex } from '../../core/index.ts'
import type { WrappedKey } from '../../wire/index.ts'
import { guestBytes } from '../ledger/index.ts'

/** What a wrapped key is for: one that was escrowed never passes for one that was sent to a node. */
export type WrapPurpose = 'escrow' | 'transport'

interface Context {
  readonly purpose: WrapPurpose
  /** Whose key it is. */
  readonly guest: string
}

/** ECDH with the private half of the recipient: x of the shared point, 32 bytes, from the peer's SubjectPublicKeyInfo. */
export type Agree = (peerSpki: Uint8Array) => Promise<Buffer>

const TAG_SIZE = 16

/**
 * Wraps a guest's key to a P-256 key (DER SubjectPublicKeyInfo): ECDH-ES (SP 800-56A section 6.2.2.2), HKDF-SHA256,
 * AES-256-GCM. Throws `guest.wrap` where that is not such a key.
 */
export function wrapKey(secret: Uint8Array, recipientSpki: Uint8Array, context: Context): WrappedKey {
  const recipient = p256(recipientSpki)
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const ephemeral = pair.publicKey.export({ type: 'spki', format: 'der' })
  const shared = diffieHellman({ privateKey: pair.privateKey, publicKey: recipient })
  const info = infoOf(context, ephemeral, recipientSpki)
  const key = keyOf(shared, info)
  try {
    const iv = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_SIZE }).setAAD(info)
    const ciphertext = Buffer.concat([cipher.update(secret), cipher.final(), cipher.getAuthTag()])
    return { recipient: spkiDigest(recipientSpki), ephemeral, iv, ciphertext }
  } finally {
    shared.fill(0)
    key.fill(0)
  }
}

/**
 * The inverse, by whoever can `agree` for `recipientSpki`. Throws `guest.wrap` for another recipient, guest or purpose, and
 * for anything that was changed. Fill the answer with zeros after use.
 */
export async function unwrapKey(
  wrapped: WrappedKey,
  recipientSpki: Uint8Array,
  context: Context,
  agree: Agree,
): Promise<Buffer> {
  if (wrapped.recipient !== spkiDigest(recipientSpki)) {
    throw new TouchstoneError('guest.wrap', 'the key was wrapped for another recipient')
  }
  p256(wrapped.ephemeral)
  const shared = await agree(wrapped.ephemeral)
  const info = infoOf(context, wrapped.ephemeral, recipientSpki)
  const key = keyOf(shared, info)
  const end = wrapped.ciphertext.byteLength - TAG_SIZE
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, wrapped.iv, { authTagLength: TAG_SIZE })
      .setAAD(info)
      .setAuthTag(wrapped.ciphertext.subarray(end))
    return Buffer.concat([decipher.update(wrapped.ciphertext.subarray(0, end)), decipher.final()])
  } catch (cause) {
    throw new TouchstoneError('guest.wrap', undefined, { cause })
  } finally {
    shared.fill(0)
    key.fill(0)
  }
}

/** For a private key in memory: the offline recovery key. */
export function agreeBy(privateKey: KeyObject): Agree {
  return (peerSpki) => Promise.resolve(diffieHellman({ privateKey, publicKey: p256(peerSpki) }))
}

/** SHA-256 of a SubjectPublicKeyInfo, hex: how a recipient is named. */
export function spkiDigest(spki: Uint8Array): string {
  return toHex(hash('sha256', spki, 'buffer'))
}

/** Both public keys are in it, so that one ciphertext has one meaning. */
function infoOf({ purpose, guest }: Context, ephemeral: Uint8Array, recipient: Uint8Array): Buffer {
  const label = Buffer.from(`touchstone guest key v1 ${purpose}\0`, 'ascii')
  return Buffer.concat([
    label,
    guestBytes(guest),
    hash('sha256', ephemeral, 'buffer'),
    hash('sha256', recipient, 'buffer'),
  ])
}

function keyOf(shared: Uint8Array, info: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', shared, Buffer.alloc(0), info, 32))
}

function p256(spki: Uint8Array): KeyObject {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key
  } catch (cause) {
    throw new TouchstoneError('guest.wrap', 'expected a P-256 public key', { cause })
  }
  throw new TouchstoneError('guest.wrap', 'expected a P-256 public key')
}
