import { TouchstoneError } from '../../core/index.ts'
import { COMMANDS, decodeResponse } from '../../tpm/index.ts'
import { rawCommand, TPM_CAP, TPM_CC } from './raw-commands.ts'
import type { Execute } from './types.ts'

/** TPMA_CC: Part 2 section 8.9. */
export interface CommandAttributes {
  readonly code: number
  /** Handles in the command; that of TPM2_FlushContext, formally a parameter, counts as one. */
  readonly handles: number
  readonly returnsHandle: boolean
  /** Transient objects that it names are flushed when it succeeds. */
  readonly flushes: boolean
  /** The 32 bits as the TPM gave them. */
  readonly raw: number
}

/** What the lane has to know of the TPM before it serves anybody. */
export interface TpmProfile {
  /** In the order of the TPM: ascending. */
  readonly commands: readonly CommandAttributes[]
  attributesOf(code: number): CommandAttributes | undefined
  /** Places for transient objects and for loaded sessions; sessions that can be active; TPM_PT_CONTEXT_GAP_MAX. */
  readonly objectSlots: number
  readonly sessionSlots: number
  readonly activeSessions: number
  readonly contextGap: number
  readonly maxCommandSize: number
}

/** TPM_PT: Part 2 section 6.13. */
export const TPM_PT = {
  HR_TRANSIENT_MIN: 0x10e,
  HR_LOADED_MIN: 0x110,
  ACTIVE_SESSIONS_MAX: 0x111,
  CONTEXT_GAP_MAX: 0x114,
  MAX_COMMAND_SIZE: 0x11e,
  HR_NV_INDEX: 0x202,
  HR_LOADED: 0x203,
  HR_LOADED_AVAIL: 0x204,
  HR_ACTIVE: 0x205,
  HR_ACTIVE_AVAIL: 0x206,
  HR_TRANSIENT_AVAIL: 0x207,
  HR_PERSISTENT: 0x208,
  HR_PERSISTENT_AVAIL: 0x209,
} as const

/** More than any TPM answers to one TPM2_GetCapability; it answers what fits its buffer. */
export const ALL = 0x7f
const FIRST_COMMAND = 0x11f
const LAST_COMMAND = 0x1ff
const FLUSH_CONTEXT = 0x165

/** Asks the TPM; nothing may be loaded in it but what is left over from others. */
export async function readTpmProfile(execute: Execute): Promise<TpmProfile> {
  const commands = await readCommands(execute)
  const property = async (id: number, fallback: number, most: number): Promise<number> => {
    const value = await readProperty(execute, id)
    return value === undefined || value === 0 ? fallback : Math.min(value, most)
  }
  const table: (CommandAttributes | undefined)[] = []
  for (const attributes of commands) table[attributes.code - FIRST_COMMAND] = attributes
  const transientMin = await property(TPM_PT.HR_TRANSIENT_MIN, 3, 64)
  return {
    commands,
    attributesOf: (code) => table[code - FIRST_COMMAND],
    // What the TPM estimates may be more than what it promises.
    objectSlots: Math.max(transientMin, await property(TPM_PT.HR_TRANSIENT_AVAIL, transientMin, 64)),
    sessionSlots: await property(TPM_PT.HR_LOADED_MIN, 3, 64),
    activeSessions: await property(TPM_PT.ACTIVE_SESSIONS_MAX, 64, 0xffff),
    contextGap: await property(TPM_PT.CONTEXT_GAP_MAX, 0xff, 0xffffffff),
    // 1024 bytes are the least that a TPM has: PC Client Platform TPM Profile, section 4.
    maxCommandSize: await property(TPM_PT.MAX_COMMAND_SIZE, 1024, 16_384),
  }
}

async function readCommands(execute: Execute): Promise<readonly CommandAttributes[]> {
  const commands: CommandAttributes[] = []
  for (let from = FIRST_COMMAND; from <= LAST_COMMAND;) {
    const { moreData, capabilityData } = await getCapability(execute, TPM_CAP.COMMANDS, from, ALL)
    if (capabilityData.capability !== 'commands') throw misfit('commands')
    const page = capabilityData.commands.map(attributesOf)
    commands.push(...page.filter(({ code }) => code >= FIRST_COMMAND && code <= LAST_COMMAND))
    const last = page.at(-1)
    if (!moreData || last === undefined) break
    from = last.code + 1
  }
  return commands
}

function attributesOf(raw: number): CommandAttributes {
  // Bit 29 tells a vendor's command; its code is left out of the range of the table.
  const code = raw & 0x2000ffff
  return {
    code,
    handles: code === FLUSH_CONTEXT ? 1 : (raw >>> 25) & 7,
    returnsHandle: (raw & (1 << 28)) !== 0,
    flushes: (raw & (1 << 24)) !== 0,
    raw,
  }
}

async function readProperty(execute: Execute, id: number): Promise<number | undefined> {
  const { capabilityData } = await getCapability(execute, TPM_CAP.TPM_PROPERTIES, id, 1)
  if (capabilityData.capability !== 'tpm_properties') throw misfit('properties')
  return capabilityData.properties.find(({ property }) => property === id)?.value
}

/** All handles of the type of `first`: Part 2 section 7.2. */
export async function readHandles(execute: Execute, first: number): Promise<readonly number[]> {
  const all: number[] = []
  for (let from = first; ;) {
    const { moreData, capabilityData } = await getCapability(execute, TPM_CAP.HANDLES, from, ALL)
    if (capabilityData.capability !== 'handles') throw misfit('handles')
    all.push(...capabilityData.handles)
    const last = capabilityData.handles.at(-1)
    if (!moreData || last === undefined) return all
    from = last + 1
  }
}

async function getCapability(execute: Execute, capability: number, property: number, count: number) {
  const response = await execute(rawCommand(TPM_CC.GET_CAPABILITY, capability, property, count))
  const result = decodeResponse(COMMANDS.GetCapability, response)
  if (!result.ok) throw misfit(`capability ${capability} (0x${result.rc.toString(16)})`)
  return result.response
}

function misfit(what: string): TouchstoneError {
  return new TouchstoneError('device.protocol', `the TPM does not tell its ${what}`)
}
