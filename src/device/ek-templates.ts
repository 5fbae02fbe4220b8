/**
 * The TCG EK templates (EK Credential Profile 2.5, annex B) that the agent can make with tpm2-tools 5, best first: ECC
 * keys take a hardware TPM milliseconds, RSA keys seconds, and the EK is made again at each start.
 */
interface EkRow {
  /** NV index of the certificate that the manufacturer provisions for this template. */
  readonly certificateIndex: number
  /** Low range: only PolicySecret(endorsement) authorises the key. High range: its empty auth value does as well. */
  readonly needsPolicySession: boolean
  /** How it is made: tpm2_createek knows the low range and the larger keys, the others are spelled out. */
  readonly make:
    | { readonly tool: 'tpm2_createek'; readonly algorithm: string }
    | { readonly tool: 'tpm2_createprimary'; readonly algorithm: string }
}

const createek = (algorithm: string) => ({ tool: 'tpm2_createek', algorithm }) as const
const createprimary = (algorithm: string) => ({ tool: 'tpm2_createprimary', algorithm }) as const

export const EK_KINDS = {
  'H-3': { certificateIndex: 0x01c00016, needsPolicySession: false, make: createek('ecc384') },
  'H-2': { certificateIndex: 0x01c00014, needsPolicySession: false, make: createprimary('ecc256:null:aes128cfb') },
  'L-2': { certificateIndex: 0x01c0000a, needsPolicySession: true, make: createek('ecc256') },
  'H-4': { certificateIndex: 0x01c00018, needsPolicySession: false, make: createek('ecc521') },
  'L-1': { certificateIndex: 0x01c00002, needsPolicySession: true, make: createek('rsa2048') },
  'H-1': { certificateIndex: 0x01c00012, needsPolicySession: false, make: createprimary('rsa2048:null:aes128cfb') },
  'H-6': { certificateIndex: 0x01c0001c, needsPolicySession: false, make: createek('rsa3072') },
  'H-7': { certificateIndex: 0x01c0001e, needsPolicySession: false, make: createek('rsa4096') },
} as const satisfies Readonly<Record<string, EkRow>>

/** Name of a TCG EK template, as the profile numbers them. */
export type EkKind = keyof typeof EK_KINDS

export function ekRow(kind: EkKind): EkRow {
  return EK_KINDS[kind]
}

export function isEkKind(text: string): text is EkKind {
  return Object.hasOwn(EK_KINDS, text)
}

/** All kinds, best first. */
export const EK_PREFERENCE: readonly EkKind[] = Object.keys(EK_KINDS).filter(isEkKind)
