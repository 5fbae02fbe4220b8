import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { socketTransport, type Transport } from '../../../../src/device/index.ts'
import type { Instance } from '../../../../src/vtpm/guest/instance/types.ts'
import type { Bench } from './bench.ts'
import { controlClient, pair, type ControlClient } from './control-client.ts'

/** What QEMU does with a TPM, without a machine behind it. */

export const INIT = '0000000200000000'
export const STOP = '0000000e'
export const SET_DATAFD = '00000010'
export const SET_BUFFERSIZE = '00000011'
export const GET_CAPABILITY = '00000001'
export const SUCCESS = '00000000'

export const STARTUP = '80010000000c000001440000'
export const NO_PASSWORD = '00000009400000090000000000'
const EXTEND_7 = `8002000000410000018200000007${NO_PASSWORD}00000001000b${'ab'.repeat(32)}`
export const READ_7 = '8001000000140000017e00000001000b03800000'

export async function transmit(tpm: Transport, hex: string): Promise<string> {
  return (await tpm.send(Buffer.from(hex, 'hex'))).toString('hex')
}

export async function readPcr7(tpm: Transport): Promise<string> {
  return (await transmit(tpm, READ_7)).slice(-64)
}

export interface Machine {
  readonly control: ControlClient
  /** Its data channel. */
  readonly tpm: Transport
  /** Its process ends. */
  end(): Promise<void>
}

/** Brings a data channel, as QEMU does first of all; where a broker runs, until it knows. */
export async function attach(t: TestContext, b: Bench, instance: Instance, { isToldOf = true } = {}): Promise<Machine> {
  const control = await controlClient(instance.controlSocket)
  const { socket, peer } = await pair(join(b.dir, 'vm'))
  assert.equal(await control.send(SET_DATAFD, { passing: peer }), SUCCESS)
  if (isToldOf) await b.told(instance)
  peer.destroy()
  const tpm = socketTransport(socket)
  let ended = false
  const end = async () => {
    if (ended) return
    ended = true
    control.close()
    await tpm.close()
  }
  t.after(end)
  return { control, tpm, end }
}

export async function reset(control: ControlClient): Promise<string> {
  for (const size of ['00000000', '00000f80']) {
    assert.equal(await control.send(STOP), SUCCESS)
    assert.equal((await control.send(`${SET_BUFFERSIZE}${size}`, { size: 16 })).slice(0, 8), SUCCESS)
  }
  return await control.send(INIT)
}

export async function startUp(tpm: Transport): Promise<void> {
  assert.equal((await transmit(tpm, STARTUP)).slice(12), '00000000')
  assert.equal((await transmit(tpm, EXTEND_7)).slice(12, 20), '00000000')
}

/** Until a virtual machine's end was noticed. */
export async function untilDetached(instance: Instance): Promise<void> {
  while (instance.attached) await new Promise((resolve) => setTimeout(resolve, 2))
}
