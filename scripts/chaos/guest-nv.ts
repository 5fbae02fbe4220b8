import { openTransport, responseCodeOf } from '../../src/device/index.ts'
import { COMMANDS, nvAttributes, nvNameOf, TPM_RH, type TpmsNvPublic } from '../../src/tpm/index.ts'
import { openTpmClient, type Entity } from '../../src/vtpm/hardware/index.ts'

/** What somebody inside a guest does with its TPM: a counter, and a record of eight bytes, both in its NV memory. */
export interface GuestNv {
  /** Answers the counter's new value: it is acknowledged then. */
  increment(): Promise<bigint>
  count(): Promise<bigint>
  write(value: bigint): Promise<void>
  read(): Promise<bigint>
  close(): Promise<void>
}

const COUNTER = 0x01800001
const RECORD = 0x01800002
const SIZE = 8
const NV_DEFINED = 0x14c
const EMPTY = Buffer.alloc(0)

/** Over the data socket of a guest. With `define`, as long as nothing is acknowledged. */
export async function guestNv(dataSocket: string, { define }: { readonly define: boolean }): Promise<GuestNv> {
  const client = openTpmClient(await openTransport(`swtpm:path=${dataSocket}`))
  const counter = indexAt(COUNTER, true)
  const record = indexAt(RECORD, false)
  const read = async (index: Entity): Promise<bigint> => {
    const { data } = await client.run(COMMANDS.NV_Read, both(index), { size: SIZE, offset: 0 })
    return data.readBigUInt64BE(0)
  }
  if (define) {
    for (const { publicInfo } of [counter, record]) {
      const parameters = { auth: EMPTY, publicInfo }
      await client.run(COMMANDS.NV_DefineSpace, { authHandle: TPM_RH.owner }, parameters).catch((error: unknown) => {
        // Done before, and not answered.
        if (responseCodeOf(error) !== NV_DEFINED) throw error
      })
    }
  }
  return {
    async increment() {
      await client.run(COMMANDS.NV_Increment, both(counter.entity), {})
      return await read(counter.entity)
    },
    count: () => read(counter.entity),
    async write(value) {
      const data = Buffer.alloc(SIZE)
      data.writeBigUInt64BE(value)
      await client.run(COMMANDS.NV_Write, both(record.entity), { data, offset: 0 })
    },
    read: () => read(record.entity),
    close: () => client.close(),
  }
}

function both(index: Entity) {
  return { authHandle: index, nvIndex: index }
}

function indexAt(nvIndex: number, isCounter: boolean) {
  const attributes = nvAttributes('AUTHREAD', 'AUTHWRITE', 'NO_DA', ...(isCounter ? (['NT0'] as const) : []))
  const publicInfo: TpmsNvPublic = { nvIndex, nameAlg: 'sha256', attributes, authPolicy: EMPTY, dataSize: SIZE }
  return { publicInfo, entity: { handle: nvIndex, name: nvNameOf(publicInfo) } }
}
