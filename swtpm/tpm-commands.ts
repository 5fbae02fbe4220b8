import { TouchstoneError } from '../src/core/index.ts'
import type { Transport } from '../src/device/index.ts'
import {
  COMMANDS,
  decodeResponse,
  encodeCommand,
  explainRc,
  isHashName,
  type Command,
  type HashName,
} from '../src/tpm/index.ts'
import type { Measurement } from './firmware.ts'

/** What the firmware and the kernel of a node say to its TPM, over one kept connection. A refusal is `device.tpm`. */
export interface Tpm {
  startup(): Promise<void>
  /** The banks that this TPM has. */
  banks(): Promise<readonly HashName[]>
  /** Extends in the given banks. A bank that the measurement has no digest for stays as it is. */
  extend(measurement: Measurement, banks: readonly HashName[]): Promise<void>
  /** PCR 0 to 23 of a bank, in order. */
  pcrs(bank: HashName): Promise<readonly Buffer[]>
}

const REGISTERS = 24
/** TPM2_PCR_Read answers at most eight values. */
const AT_ONCE = 8

export function tpmOver(transport: Transport): Tpm {
  async function run<H extends string, P, R>(
    command: Command<H, P, R>,
    handles: Readonly<Record<H, number>>,
    parameters: P,
  ): Promise<R> {
    const answer = decodeResponse(command, await transport.send(encodeCommand(command, handles, parameters)))
    if (answer.ok) return answer.response
    const { name, meaning } = explainRc(answer.rc)
    throw new TouchstoneError('device.tpm', `the TPM answered ${name}: ${meaning}`)
  }
  return {
    async startup() {
      await run(COMMANDS.Startup, {}, { startupType: 'clear' })
    },
    async banks() {
      const question = { capability: 'pcrs', property: 0, propertyCount: 1 } as const
      const { capabilityData } = await run(COMMANDS.GetCapability, {}, question)
      if (capabilityData.capability !== 'pcrs') throw new TouchstoneError('tpm.response_malformed')
      return capabilityData.pcrs.flatMap(({ hash, pcrs }) => (pcrs.length > 0 && isHashName(hash) ? [hash] : []))
    },
    async extend({ pcr, digests }, banks) {
      const values = banks.flatMap((hashAlg) => {
        const value = digests.get(hashAlg)
        return value === undefined ? [] : [{ hashAlg, digest: value }]
      })
      await run(COMMANDS.PCR_Extend, { pcrHandle: pcr }, { digests: values })
    },
    async pcrs(hash) {
      const values: Buffer[] = []
      while (values.length < REGISTERS) {
        const pcrs = Array.from({ length: AT_ONCE }, (_, i) => values.length + i)
        const { pcrValues } = await run(COMMANDS.PCR_Read, {}, { pcrSelectionIn: [{ hash, pcrs }] })
        if (pcrValues.length !== AT_ONCE) throw new TouchstoneError('tpm.response_malformed', 'too few PCR values')
        values.push(...pcrValues)
      }
      return values
    },
  }
}
