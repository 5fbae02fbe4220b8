import { createHmac } from 'node:crypto'
import { equalBytes } from '../../core/index.ts'

/**
 * Contexts that tenants keep: TPMS_CONTEXT (Part 2 section 14.5: sequence u64, savedHandle, hierarchy, TPM2B contextBlob) with
 * a MAC over the tenant and the context at the end of contextBlob, which clients store as it is. The TPM itself would load
 * any context of its own, whoever brings it.
 */
export interface TenantContexts {
  /** The context as its tenant gets it. */
  seal(tenant: string, context: Buffer): Buffer
  /** The context inside; undefined when it was not sealed for this tenant. */
  open(tenant: string, sealed: Buffer): Buffer | undefined
}

const BLOB_SIZE_AT = 16
const BLOB_AT = 18
const MAC_SIZE = 32
const LABEL = Buffer.from('touchstone lane context v1\0')

/** Some 5 us each; `key` has 32 bytes. */
export function tenantContexts(key: Uint8Array): TenantContexts {
  const mac = (tenant: string, context: Buffer): Buffer =>
    createHmac('sha256', key).update(LABEL).update(tenant).update('\0').update(context).digest()
  return {
    seal(tenant, context) {
      const sealed = Buffer.concat([context, mac(tenant, context)])
      sealed.writeUInt16BE(context.readUInt16BE(BLOB_SIZE_AT) + MAC_SIZE, BLOB_SIZE_AT)
      return sealed
    },
    open(tenant, sealed) {
      if (sealed.byteLength < BLOB_AT + MAC_SIZE) return undefined
      const blobSize = sealed.readUInt16BE(BLOB_SIZE_AT)
      if (BLOB_AT + blobSize !== sealed.byteLength) return undefined
      const context = Buffer.from(sealed.subarray(0, sealed.byteLength - MAC_SIZE))
      context.writeUInt16BE(blobSize - MAC_SIZE, BLOB_SIZE_AT)
      return equalBytes(mac(tenant, context), sealed.subarray(context.byteLength)) ? context : undefined
    },
  }
}

const TPM_RH_NULL = 0x40000007

/**
 * The context of a session as the lane gives it to its tenant: a claim check. The session itself stays with the lane, which
 * swaps and renews it, so what the tenant keeps cannot grow too old.
 */
export function sessionClaim(handle: number, number: number): Buffer {
  const context = Buffer.alloc(BLOB_AT)
  context.writeUIntBE(number, 2, 6)
  context.writeUInt32BE(handle, 8)
  context.writeUInt32BE(TPM_RH_NULL, 12)
  return context
}

/** savedHandle of a TPMS_CONTEXT: a session's own handle, 0x80000001 for sequences, else another 0x80…: Table 244. */
export function savedHandleOf(context: Buffer): number {
  return context.readUInt32BE(8)
}

export function claimNumberOf(context: Buffer): number {
  return context.readUIntBE(2, 6)
}
