import { createPublicKey, X509Certificate, type KeyObject } from 'node:crypto'
import { encode } from '../codec/index.ts'
import { fromBase64Url, TouchstoneError } from '../core/index.ts'
import {
  EK_TEMPLATES,
  ekTemplatePublic,
  publicKeyOf,
  readPublicArea,
  TPM2B_PUBLIC,
  type TpmtPublic,
} from '../tpm/index.ts'
import { isPem, readInput } from './files.ts'

const TAKES = '--ek takes the TPM2B_PUBLIC that tpm2_createek -u writes, a PEM, or the certificate of the EK.'
const DER_SEQUENCE = 0x30

/**
 * What a file says that an EK is: the TPM2B_PUBLIC in it; or, of a key or certificate, which has no Name, every
 * TPM2B_PUBLIC that the TCG's templates make of the key. Which of them it is, the qualified Name in a quote proves. Throws
 * `usage.file`, and `decode.*` with the name of the file.
 */
export async function readEks(path: string): Promise<readonly Buffer[]> {
  const bytes = await readInput(path)
  const key = keyIn(path, bytes)
  if (key === undefined) {
    try {
      readPublicArea('TPM2B_PUBLIC', bytes)
      return [bytes]
    } catch (error) {
      if (!(error instanceof TouchstoneError)) throw error
      const { cause, details } = error
      const hint = `${error.hint} ${TAKES}`
      throw new TouchstoneError(error.code, `${path}: ${error.message}`, { cause, details, hint })
    }
  }
  const areas = EK_TEMPLATES.flatMap(({ name }) => areaOf(name, key) ?? [])
  if (areas.length > 0) return areas.map((area) => encode(TPM2B_PUBLIC, area))
  throw new TouchstoneError('usage.file', `no template of the TCG has a key like that of ${path}`, {
    hint: 'Give the TPM2B_PUBLIC of the EK: tpm2_createek -u or tpm2_readpublic -o writes it.',
  })
}

/** The key of a PEM or a certificate; `undefined` for what is neither. No TPM2B_PUBLIC is as large as its first byte says here. */
function keyIn(path: string, bytes: Buffer): KeyObject | undefined {
  const isDer = bytes[0] === DER_SEQUENCE && bytes[1] === 0x82
  if (!isPem(bytes) && !isDer) return undefined
  try {
    return isDer ? new X509Certificate(bytes).publicKey : createPublicKey(bytes.toString('utf8').trim())
  } catch (cause) {
    throw new TouchstoneError('usage.file', `${path} is no public key and no certificate`, { cause, hint: TAKES })
  }
}

/** The public area of the template with this key in it, where the key is of its kind and size. */
function areaOf(name: string, key: KeyObject): TpmtPublic | undefined {
  const template = ekTemplatePublic(name)
  const { kty, n, x, y } = key.export({ format: 'jwk' })
  const area = template && withKey(template, kty === 'RSA' ? { n } : { x, y })
  if (area === undefined) return undefined
  try {
    return publicKeyOf(area).equals(key) ? area : undefined
  } catch (error) {
    // Of another size, or on another curve.
    if (error instanceof TouchstoneError) return undefined
    throw error
  }
}

interface Numbers {
  readonly n?: string | undefined
  readonly x?: string | undefined
  readonly y?: string | undefined
}

function withKey(template: TpmtPublic, { n, x, y }: Numbers): TpmtPublic | undefined {
  if (template.type === 'rsa') {
    const unique = n === undefined ? undefined : fromBase64Url(n)
    return unique && { ...template, unique }
  }
  if (template.type !== 'ecc' || x === undefined || y === undefined) return undefined
  const point = { x: fromBase64Url(x), y: fromBase64Url(y) }
  return point.x === undefined || point.y === undefined
    ? undefined
    : { ...template, unique: { x: point.x, y: point.y } }
}
