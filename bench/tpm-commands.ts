import { openTransport } from '../src/device/index.ts'

/** TPM2_GetRandom(8). */
export const GET_RANDOM = Buffer.from('80010000000c0000017b0008', 'hex')
/** TPM2_PCR_Read(sha256:0-7). */
export const PCR_READ = Buffer.from('8001000000140000017e00000001000b03ff0000', 'hex')

const EMPTY_PASSWORD = '00000009' + '400000090000000000'

/** TPMA_OBJECT: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, sign; and restricted for an AK. */
const SIGNING_KEY = '00040472'
const ATTESTATION_KEY = '00050472'

function framed(hex: string): Buffer {
  const bytes = Buffer.from(hex, 'hex')
  bytes.writeUInt32BE(bytes.byteLength, 2)
  return bytes
}

/** Makes an ECDSA P-256 key in the TPM behind the raw socket `path`, and resolves with its transient handle. */
async function makeKey(path: string, attributes: string): Promise<number> {
  const area = `0023000b${attributes}0000` + '0010' + '0018000b' + '0003' + '0010' + '00000000'
  const size = (area.length / 2).toString(16).padStart(4, '0')
  const create = framed(`8002000000000000013140000001${EMPTY_PASSWORD}000400000000${size}${area}000000000000`)
  const transport = await openTransport(`swtpm:path=${path}`)
  try {
    const response = await transport.send(create)
    const rc = response.readUInt32BE(6)
    if (rc !== 0) throw new Error(`TPM2_CreatePrimary: 0x${rc.toString(16)}`)
    return response.readUInt32BE(10)
  } finally {
    await transport.close()
  }
}

const hexOf = (handle: number): string => handle.toString(16).padStart(8, '0')

/** TPM2_Sign of 32 bytes by a key that this makes. */
export async function signCommand(path: string): Promise<Buffer> {
  const key = await makeKey(path, SIGNING_KEY)
  return framed(`8002000000000000015d${hexOf(key)}${EMPTY_PASSWORD}0020${'a5'.repeat(32)}00108024400000070000`)
}

/** TPM2_Quote of sha256:0-7 by an AK that this makes. */
export async function quoteCommand(path: string): Promise<Buffer> {
  const key = await makeKey(path, ATTESTATION_KEY)
  return framed(`80020000000000000158${hexOf(key)}${EMPTY_PASSWORD}0020${'5a'.repeat(32)}001000000001000b03ff0000`)
}
