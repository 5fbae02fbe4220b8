import { equalBytes, TouchstoneError } from '../../core/index.ts'
import { responseCodeOf } from '../../device/index.ts'
import { COMMANDS, nvAttributes, nvNameOf, TPM_RC, TPM_RH } from '../../tpm/index.ts'
import type { TpmsNvPublic } from '../../tpm/index.ts'
import type { Entity, HardwareCounter, LoadedObject, TpmClient, TpmScope, TpmSession } from './types.ts'

/** NV indices of the owner's range (TCG Registry of Reserved TPM 2.0 Handles: 0x01800000 to 0x01bfffff). */
const INDICES = { ledger: 0x01805301, release: 0x01805302 } as const

export type CounterName = keyof typeof INDICES

const SIZE = 8
const EMPTY = Buffer.alloc(0)

/**
 * TPM_NT_COUNTER: it only goes up, and one that is defined anew starts above all that this TPM ever had (Part 3 section
 * 31.8). Anybody may count it up, who reaches the TPM past the lane: that stops guests from starting, and gains nothing.
 */
function publicOf(nvIndex: number, state: 'defined' | 'written'): TpmsNvPublic {
  const written = state === 'written' ? (['WRITTEN'] as const) : []
  return {
    nvIndex,
    nameAlg: 'sha256',
    attributes: nvAttributes('AUTHREAD', 'AUTHWRITE', 'NO_DA', 'NT0', ...written),
    authPolicy: EMPTY,
    dataSize: SIZE,
  }
}

/** The counter as commands name it. Its Name is the same on every node. */
export function counterEntity(counter: CounterName): Entity {
  return { handle: INDICES[counter], name: nvNameOf(publicOf(INDICES[counter], 'written')) }
}

/**
 * Makes sure that the counter is there and has counted once. Defines it only where `mayDefine` says that this is the first
 * start: later its absence is `vtpm.counter_missing`, because what it had reached is not known any more.
 */
export async function ensureCounter(scope: TpmScope, root: LoadedObject, counter: CounterName, mayDefine: boolean) {
  const nvIndex = INDICES[counter]
  const where = `the ${counter} counter, NV index 0x${nvIndex.toString(16).padStart(8, '0')}`
  const entity = counterEntity(counter)
  const unwritten = publicOf(nvIndex, 'defined')
  const there = await readName(scope, nvIndex)
  if (there !== undefined && equalBytes(there, entity.name)) return
  const isOurs = there === undefined || equalBytes(there, nvNameOf(unwritten))
  if (!mayDefine) throw new TouchstoneError(isOurs ? 'vtpm.counter_missing' : 'vtpm.counter_taken', where)
  if (!isOurs) throw new TouchstoneError('vtpm.counter_taken', where)
  const session = await scope.startSession('hmac', root)
  if (there === undefined) {
    const parameters = { auth: EMPTY, publicInfo: unwritten }
    await scope.run(COMMANDS.NV_DefineSpace, { authHandle: TPM_RH.owner }, parameters, [session.use()])
  }
  const before = { handle: nvIndex, name: nvNameOf(unwritten) }
  await scope.run(COMMANDS.NV_Increment, { authHandle: before, nvIndex: before }, {}, [session.use({ last: true })])
}

async function readName(scope: TpmScope, nvIndex: number): Promise<Buffer | undefined> {
  try {
    const { nvPublic } = await scope.run(COMMANDS.NV_ReadPublic, { nvIndex }, {})
    return nvNameOf(nvPublic)
  } catch (error) {
    if (responseCodeOf(error) === TPM_RC.HANDLE) return undefined
    throw error
  }
}

/** The counter's uses, each over a salted session: its HMAC covers the index's Name and the value. */
export function hardwareCounter(client: TpmClient, root: LoadedObject, counter: CounterName): HardwareCounter {
  const entity = counterEntity(counter)
  const handles = { authHandle: entity, nvIndex: entity }
  const read = async (scope: TpmScope, session: TpmSession): Promise<bigint> => {
    const use = session.use({ last: true })
    const { data } = await scope.run(COMMANDS.NV_Read, handles, { size: SIZE, offset: 0 }, [use])
    return data.readBigUInt64BE(0)
  }
  return {
    name: entity.name,
    read: () => client.scope(async (scope) => await read(scope, await scope.startSession('hmac', root))),
    increment: () =>
      client.scope(async (scope) => {
        const session = await scope.startSession('hmac', root)
        await scope.run(COMMANDS.NV_Increment, handles, {}, [session.use()])
        return await read(scope, session)
      }),
  }
}
