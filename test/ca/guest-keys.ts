import { decode, encode } from '../../src/codec/index.ts'
import { fromHex } from '../../src/core/index.ts'
import { EK_TEMPLATES, TPM2B_PUBLIC, type TpmtPublicEcc } from '../../src/tpm/index.ts'
import { attributes, softwareKey } from './software-tpm.ts'

/** The public area of a new EK by template L-2, whose private half nobody keeps. */
export function guestEk(): TpmtPublicEcc {
  const template = EK_TEMPLATES.find(({ name }) => name === 'L-2')
  if (template === undefined) throw new Error('there is no template L-2')
  return {
    ...softwareKey([]).pub,
    objectAttributes: attributes(template.attributes),
    authPolicy: fromHex(template.authPolicy) ?? Buffer.alloc(0),
    parameters: {
      symmetric: { algorithm: 'aes', keyBits: 128, mode: 'cfb' },
      scheme: { scheme: 'null' },
      curveID: 'nist_p256',
      kdf: { scheme: 'null' },
    },
  }
}

export function publicBytes(pub: TpmtPublicEcc): Buffer {
  return encode(TPM2B_PUBLIC, pub)
}

export function publicOf(bytes: Buffer) {
  return decode('TPM2B_PUBLIC', TPM2B_PUBLIC, bytes)
}
