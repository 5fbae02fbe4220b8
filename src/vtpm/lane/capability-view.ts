import { errorResponse, HEADER_BYTES, TPM_RC } from '../../tpm/index.ts'
import type { CommandFrame } from '../../tpm/index.ts'
import { readHandles, TPM_PT, type TpmProfile } from './command-attributes.ts'
import { ruleOf } from './command-rules.ts'
import type { Holder } from './holder.ts'
import { rcOf, successResponse, TPM_CAP } from './raw-commands.ts'
import { EK_CERTIFICATES, isWithin, PARENT_HANDLE } from './tenant-ranges.ts'
import type { Execute, TenantClass } from './types.ts'

/**
 * TPM2_GetCapability as a tenant sees it: as if the TPM were its own, with what it may use. Lists of handles and commands
 * are the tenant's; room for objects and sessions is what its quota leaves; PCRs, algorithms and curves are the TPM's.
 * `undefined` is a question under sessions that the TPM itself has to answer, as it does any other command.
 */
export type CapabilityView = (holder: Holder, command: Buffer, frame: CommandFrame) => Promise<Buffer | undefined>

/** moreData, capability, count: then the items. */
const LIST_AT = HEADER_BYTES + 9
/** What fits the 1024 bytes that a TPM has for a capability. */
const MOST_ITEMS = 254

const TRANSIENT = 0x80
const LOADED_SESSION = 0x02
const SAVED_SESSION = 0x03
const PERSISTENT = 0x81
const NV_INDEX = 0x01

export function capabilityView(execute: Execute, profile: TpmProfile): CapabilityView {
  const commandsOf = (of: TenantClass): readonly number[] =>
    profile.commands.filter(({ code }) => mayUse(of, code)).map(({ raw }) => raw)
  const commands = { app: commandsOf('app'), agent: commandsOf('agent'), broker: commandsOf('broker') }

  const handlesOf = async (holder: Holder, type: number): Promise<readonly number[] | undefined> => {
    const { config, objects, sessions, parent } = holder
    const own = async (first: number, ...ranges: readonly (readonly [number, number] | undefined)[]) =>
      ranges.every((range) => range === undefined)
        ? []
        : (await readHandles(execute, first)).filter((one) => ranges.some((range) => isWithin(range, one)))
    switch (type) {
      case TRANSIENT:
        return [...objects.keys()]
      case LOADED_SESSION:
      case SAVED_SESSION:
        return [...sessions.values()]
          .filter(({ parkedAs }) => (parkedAs !== 0) === (type === SAVED_SESSION))
          .map(({ handle }) => handle)
      case PERSISTENT:
        if (config.class === 'broker') return undefined
        return [...(parent === undefined ? [] : [PARENT_HANDLE]), ...(await own(0x81000000, config.persistentRange))]
      case NV_INDEX:
        if (config.class === 'broker') return undefined
        return own(0x01000000, config.nvRange, config.class === 'agent' ? EK_CERTIFICATES : undefined)
      default:
        return undefined
    }
  }

  return async (holder, command, { parametersAt, sessions }) => {
    if (parametersAt + 12 !== command.byteLength) return errorResponse(TPM_RC.COMMAND_SIZE)
    const capability = command.readUInt32BE(parametersAt)
    const property = command.readUInt32BE(parametersAt + 4)
    const count = command.readUInt32BE(parametersAt + 8)
    // An audit session's HMAC covers what the TPM said, not what the lane would make of it.
    const isOurs = isOneOf(capability, TPM_CAP.HANDLES, TPM_CAP.COMMANDS, TPM_CAP.TPM_PROPERTIES)
    // For all else it is a command like others, and whose the sessions are has to be looked up.
    if (sessions.length > 0) return isOurs ? errorResponse(TPM_RC.AUTH_CONTEXT) : undefined
    if (capability === TPM_CAP.COMMANDS) {
      const from = (raw: number) => (raw & 0xffff) >= property
      return listResponse(capability, commands[holder.config.class].filter(from), count)
    }
    if (capability === TPM_CAP.HANDLES) {
      const handles = await handlesOf(holder, property >>> 24)
      if (handles !== undefined) return listResponse(capability, handlesFrom(handles, property), count)
    }
    const response = await execute(command)
    if (capability === TPM_CAP.TPM_PROPERTIES && rcOf(response) === 0) patchProperties(response, holder)
    return response
  }
}

function mayUse(of: TenantClass, code: number): boolean {
  const rule = ruleOf(code)
  return rule !== undefined && rule.classes[of].denied === undefined
}

function isOneOf(value: number, ...values: readonly number[]): boolean {
  return values.includes(value)
}

/** Sessions are numbered by their low bits alone; all else has one type. */
function handlesFrom(handles: readonly number[], property: number): readonly number[] {
  const number = (handle: number) => handle & 0x00ffffff
  return handles.filter((handle) => number(handle) >= number(property)).sort((a, b) => number(a) - number(b))
}

function listResponse(capability: number, items: readonly number[], count: number): Buffer {
  const page = items.slice(0, Math.min(count, MOST_ITEMS))
  const body = Buffer.alloc(9 + 4 * page.length)
  body.writeUInt8(page.length < items.length ? 1 : 0, 0)
  body.writeUInt32BE(capability, 1)
  body.writeUInt32BE(page.length, 5)
  page.forEach((item, index) => body.writeUInt32BE(item, 9 + 4 * index))
  return successResponse(body)
}

/** TPMS_TAGGED_PROPERTY: property, value. */
function patchProperties(response: Buffer, holder: Holder): void {
  for (let at = LIST_AT; at + 8 <= response.byteLength; at += 8) {
    const value = ownProperty(response.readUInt32BE(at), holder)
    if (value !== undefined) response.writeUInt32BE(value, at + 4)
  }
}

function ownProperty(property: number, { config, objects, sessions, nv, parent }: Holder): number | undefined {
  const parked = [...sessions.values()].filter(({ parkedAs }) => parkedAs !== 0).length
  const free = Math.max(0, config.quota.sessions - sessions.size)
  switch (property) {
    case TPM_PT.HR_TRANSIENT_AVAIL:
      // At the quota the oldest object makes way, so there is always room for one.
      return Math.max(1, config.quota.objects - objects.size)
    case TPM_PT.HR_LOADED:
      return sessions.size - parked
    case TPM_PT.HR_ACTIVE:
      return sessions.size
    case TPM_PT.HR_LOADED_AVAIL:
    case TPM_PT.HR_ACTIVE_AVAIL:
      return free
    case TPM_PT.HR_NV_INDEX:
      return config.class === 'broker' ? undefined : (nv?.size ?? 0)
    case TPM_PT.HR_PERSISTENT:
      return config.class === 'broker' ? undefined : parent === undefined ? 0 : 1
    case TPM_PT.HR_PERSISTENT_AVAIL:
      return config.class === 'app' ? 0 : undefined
    default:
      return undefined
  }
}
