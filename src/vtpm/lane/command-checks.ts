import type { ErrorCode } from '../../core/index.ts'
import { atHandle, atParameter, TPM_RC, TPM_RH, TPMA_NV_BITS, TPMA_OBJECT_BITS } from '../../tpm/index.ts'
import type { CommandFrame } from '../../tpm/index.ts'
import type { CheckName, Permission } from './command-rules.ts'
import { EK_CERTIFICATES, isWithin, PARENT_HANDLE } from './tenant-ranges.ts'
import type { TenantConfig } from './types.ts'

/** What the tenant is answered, and what the audit log says. */
export interface Refusal {
  readonly rc: number
  readonly reason: ErrorCode
}

type Check = (command: Buffer, frame: CommandFrame, tenant: TenantConfig) => Refusal | undefined

const refuse = (rc: number, reason: ErrorCode): Refusal => ({ rc, reason })

/** Part 2 section 7.2: the first byte of a handle. */
const TPM_HT = {
  PCR: 0x00,
  NV_INDEX: 0x01,
  HMAC: 0x02,
  POLICY: 0x03,
  PERMANENT: 0x40,
  TRANSIENT: 0x80,
  PERSISTENT: 0x81,
}

/**
 * Judges the handles that say by themselves whose they are; transient objects and sessions are looked up when the
 * command's turn has come. The answers are those of a TPM that does not have what the handle names.
 */
export function judgeHandles(
  frame: CommandFrame,
  permission: Permission,
  tenant: TenantConfig,
  hasParent: boolean,
): Refusal | undefined {
  const { handles } = frame
  for (let index = 0; index < handles.length; index++) {
    const handle = handles[index] ?? 0
    switch (handle >>> 24) {
      case TPM_HT.TRANSIENT:
      case TPM_HT.HMAC:
      case TPM_HT.POLICY:
        break
      case TPM_HT.PERMANENT:
        if (handle !== TPM_RH.null && !permission.hierarchies.includes(handle)) {
          return refuse(atHandle(TPM_RC.HIERARCHY, index + 1), 'vtpm.hierarchy_denied')
        }
        break
      case TPM_HT.NV_INDEX:
        if (permission.anywhere === true || isWithin(tenant.nvRange, handle)) break
        if (permission.certificates === true && isWithin(EK_CERTIFICATES, handle)) break
        return refuse(atHandle(TPM_RC.HANDLE, index + 1), 'vtpm.not_own')
      case TPM_HT.PERSISTENT:
        if (permission.anywhere === true || isWithin(tenant.persistentRange, handle)) break
        if (hasParent && handle === PARENT_HANDLE) break
        return refuse(atHandle(TPM_RC.HANDLE, index + 1), 'vtpm.not_own')
      default:
        return refuse(atHandle(TPM_RC.VALUE, index + 1), 'vtpm.not_own')
    }
  }
  return undefined
}

/**
 * The parameters that have to be looked at. Only the first parameter of a command can be encrypted, its size not; none of
 * these checks reads into a first parameter, so a session that encrypts cannot hide anything from them.
 */
export const COMMAND_CHECKS: Readonly<Record<CheckName, Check>> = {
  /** Vendor capabilities say what nobody has judged. */
  capability: (command, { parametersAt }) => {
    if (parametersAt + 12 !== command.byteLength) return refuse(TPM_RC.COMMAND_SIZE, 'vtpm.malformed')
    return command.readUInt32BE(parametersAt) <= LAST_CAPABILITY
      ? undefined
      : refuse(atParameter(TPM_RC.VALUE, 1), 'vtpm.capability_denied')
  },
  create: noDaIn(2),
  /** Under the null hierarchy it would make a primary key, the same for all tenants with that template. */
  createLoaded: (command, frame, tenant) =>
    frame.handles[0] === TPM_RH.null
      ? refuse(atHandle(TPM_RC.HIERARCHY, 1), 'vtpm.hierarchy_denied')
      : noDaIn(2)(command, frame, tenant),
  import: noDaIn(2),
  load: noDaIn(2),
  /** Public parts have no authorisation value that could be guessed. */
  loadExternal: (command, frame, tenant) => {
    const { parametersAt } = frame
    const isPublic = parametersAt + 2 <= command.byteLength && command.readUInt16BE(parametersAt) === 0
    return isPublic ? undefined : noDaIn(2)(command, frame, tenant)
  },
  nvDefine: checkNvPublic,
  evictOwn: (command, { parametersAt }, tenant) => {
    if (parametersAt + 4 !== command.byteLength) return refuse(TPM_RC.COMMAND_SIZE, 'vtpm.malformed')
    return isWithin(tenant.persistentRange, command.readUInt32BE(parametersAt))
      ? undefined
      : refuse(atParameter(TPM_RC.VALUE, 1), 'vtpm.not_own')
  },
  /** What was tested already is not tested again, unless fullTest asks for it. */
  selfTest: (command, { parametersAt }) => {
    if (parametersAt + 1 !== command.byteLength) return refuse(TPM_RC.COMMAND_SIZE, 'vtpm.malformed')
    return command.readUInt8(parametersAt) === 0
      ? undefined
      : refuse(atParameter(TPM_RC.VALUE, 1), 'vtpm.self_test_denied')
  },
}

/** TPM_CAP_ACT: Part 2 section 6.12; 0x100 is the vendor's. */
const LAST_CAPABILITY = 0x0a

/** Offset of the `number`th parameter where all before it are TPM2Bs; `undefined` where the command ends before it does. */
function tpm2bAt(command: Buffer, frame: CommandFrame, number: number): number | undefined {
  let at = frame.parametersAt
  for (let parameter = 1; ; parameter++) {
    if (at + 2 > command.byteLength) return undefined
    const end = at + 2 + command.readUInt16BE(at)
    if (end > command.byteLength) return undefined
    if (parameter === number) return at
    at = end
  }
}

const NO_DA = 1 << TPMA_OBJECT_BITS.noDA

/**
 * TPMT_PUBLIC and TPMT_TEMPLATE begin with type, nameAlg, objectAttributes. Without noDA, wrong guesses at the object's
 * authorisation lock up every key of the TPM that has it neither.
 */
function noDaIn(parameter: number): Check {
  return (command, frame) => {
    const at = tpm2bAt(command, frame, parameter)
    if (at === undefined || command.readUInt16BE(at) < 8) {
      return refuse(atParameter(TPM_RC.SIZE, parameter), 'vtpm.malformed')
    }
    return (command.readUInt32BE(at + 6) & NO_DA) !== 0
      ? undefined
      : refuse(atParameter(TPM_RC.ATTRIBUTES, parameter), 'vtpm.lockout_risk')
  }
}

const bits = (...numbers: readonly number[]): number => numbers.reduce((mask, bit) => mask | (1 << bit), 0) >>> 0

const NV_REQUIRED = bits(TPMA_NV_BITS.NO_DA)
/**
 * Platform and POLICY_DELETE: an index that its tenant could not remove. GLOBALLOCK: locked for all at once. ORDERLY: kept in
 * the little RAM that all share.
 */
const NV_FORBIDDEN = bits(
  TPMA_NV_BITS.PPWRITE,
  TPMA_NV_BITS.PPREAD,
  TPMA_NV_BITS.PLATFORMCREATE,
  TPMA_NV_BITS.POLICY_DELETE,
  TPMA_NV_BITS.GLOBALLOCK,
  TPMA_NV_BITS.ORDERLY,
)
/** TPM_NT: ordinary, counter, bits, extend; PIN indices count failures of other objects. */
const NV_TYPES = [0, 1, 2, 4]
const NV_TYPE_SHIFT = TPMA_NV_BITS.NT0

/** TPMS_NV_PUBLIC: nvIndex, nameAlg, attributes, authPolicy, dataSize (Part 2 section 13.5). */
function checkNvPublic(command: Buffer, frame: CommandFrame, tenant: TenantConfig): Refusal | undefined {
  const definition = nvDefinitionOf(command, frame)
  if (definition === undefined) return refuse(atParameter(TPM_RC.SIZE, 2), 'vtpm.malformed')
  const { index, attributes } = definition
  if (!isWithin(tenant.nvRange, index)) return refuse(atParameter(TPM_RC.VALUE, 2), 'vtpm.nv_range')
  if ((attributes & NV_REQUIRED) === 0) return refuse(atParameter(TPM_RC.ATTRIBUTES, 2), 'vtpm.lockout_risk')
  const isForbidden = (attributes & NV_FORBIDDEN) !== 0 || !NV_TYPES.includes((attributes >>> NV_TYPE_SHIFT) & 0xf)
  return isForbidden ? refuse(atParameter(TPM_RC.ATTRIBUTES, 2), 'vtpm.nv_attributes') : undefined
}

export interface NvDefinition {
  readonly index: number
  readonly attributes: number
  readonly dataSize: number
}

/** What TPM2_NV_DefineSpace asks for; `undefined` where it does not parse. */
export function nvDefinitionOf(command: Buffer, frame: CommandFrame): NvDefinition | undefined {
  const at = tpm2bAt(command, frame, 2)
  if (at === undefined) return undefined
  const size = command.readUInt16BE(at)
  if (size < 14 || at + 2 + size !== command.byteLength) return undefined
  const policySize = command.readUInt16BE(at + 12)
  if (14 + policySize !== size) return undefined
  return {
    index: command.readUInt32BE(at + 2),
    attributes: command.readUInt32BE(at + 8),
    dataSize: command.readUInt16BE(at + 14 + policySize),
  }
}
