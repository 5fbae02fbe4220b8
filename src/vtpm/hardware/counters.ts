import { equalBytes, TouchstoneError } from '../../core/index.ts'
import { responseCodeOf } from '../../device/index.ts'
import { COMMANDS, COUNTER_SIZE, counterPublic, nvNameOf, TPM_RC, TPM_RH } from '../../tpm/index.ts'
import type { CounterName } from '../../tpm/index.ts'
import type { Entity, HardwareCounter, LoadedObject, TpmClient, TpmScope, TpmSession } from './types.ts'

const EMPTY = Buffer.alloc(0)

/** The counter as commands name it. Its Name is the same on every node. */
export function counterEntity(counter: CounterName): Entity {
  const written = counterPublic(counter, 'written')
  return { handle: written.nvIndex, name: nvNameOf(written) }
}

/**
 * Makes sure that the counter is there and has counted once. Defines it only where `mayDefine` says that this is the first
 * start: later its absence is `vtpm.counter_missing`, because what it had reached is not known any more.
 */
export async function ensureCounter(scope: TpmScope, root: LoadedObject, counter: CounterName, mayDefine: boolean) {
  const unwritten = counterPublic(counter, 'defined')
  const { nvIndex } = unwritten
  const where = `the ${counter} counter, NV index 0x${nvIndex.toString(16).padStart(8, '0')}`
  const entity = counterEntity(counter)
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
    const { data } = await scope.run(COMMANDS.NV_Read, handles, { size: COUNTER_SIZE, offset: 0 }, [use])
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
