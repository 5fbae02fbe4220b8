import { TouchstoneError } from '../../core/index.ts'
import { HASHES, hashNameOf, isHashName } from '../../tpm/index.ts'
import { bankName, MAX_ALGORITHMS } from '../spec-id.ts'

/** Larger than any hash that a TPM has. */
const MAX_DIGEST = 128

/** The digests of one record, as they are read. */
export interface DigestList {
  /** Takes the digest of an algorithm by its TPM_ALG_ID or name. Throws `eventlog.digests`. */
  add(algorithm: number | string, digest: Buffer, offset: number): void
  readonly digests: ReadonlyMap<string, Buffer>
}

/**
 * Digests of one record: each algorithm once, each in its own size. An algorithm that this program does not know is kept
 * under its number; one that it knows by no number is left out.
 */
export function digestList(index: number): DigestList {
  const digests = new Map<string, Buffer>()
  let count = 0
  return {
    digests,
    add(algorithm, digest, offset) {
      count += 1
      const id = typeof algorithm === 'number' ? algorithm : algorithmId(algorithm)
      const known = id === undefined ? undefined : hashNameOf(id)
      const name = id === undefined ? undefined : bankName(id)
      const problem =
        count > MAX_ALGORITHMS
          ? `more than ${MAX_ALGORITHMS} digests`
          : name !== undefined && digests.has(name)
            ? `two digests of ${name}`
            : known !== undefined && HASHES[known].size !== digest.byteLength
              ? `a ${known} digest of ${digest.byteLength} bytes`
              : digest.byteLength === 0 || digest.byteLength > MAX_DIGEST
                ? `a digest of ${digest.byteLength} bytes`
                : undefined
      if (problem !== undefined) {
        throw new TouchstoneError('eventlog.digests', `record ${index} at byte ${offset} has ${problem}`)
      }
      if (name !== undefined) digests.set(name, digest)
    },
  }
}

/** Names as the TCG's, systemd's and the TSS's JSON have them. */
function algorithmId(name: string): number | undefined {
  const plain = name
    .toLowerCase()
    .replace(/^tpm2?_alg_/, '')
    .replaceAll('-', '_')
  const hash = plain === 'sha' ? 'sha1' : plain === 'sm3' ? 'sm3_256' : plain
  return isHashName(hash) ? HASHES[hash].id : undefined
}
