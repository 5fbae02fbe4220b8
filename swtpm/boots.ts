import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { TouchstoneError } from '../src/core/index.ts'

/** What a machine recorded of one boot. */
export interface Boot {
  readonly name: string
  /** Firmware event log, as the firmware wrote it. */
  readonly eventLog: Buffer
  /** IMA log in the kernel's binary form. */
  readonly imaLog?: Buffer
  /** What the machine's own TPM held at the end: bank, register, lower-case hex. */
  readonly pcrs?: PcrValues
}

export type PcrValues = Readonly<Record<string, Readonly<Record<string, string>>>>

/** The folders of swtpm/boots; its README says what they are. */
export const RECORDED_BOOTS = ['honest', 'cmdline', 'secureboot-off'] as const

export type RecordedBoot = (typeof RECORDED_BOOTS)[number]

const pcrValues = z.record(z.string(), z.record(z.string(), z.string()))

/**
 * Reads a boot: one of the project's recordings by its name, or a directory with `eventlog.bin` and, where there are
 * any, `ima.bin` and `pcrs.json`. Throws `standin.boot`.
 */
export async function readBoot(nameOrDirectory: string): Promise<Boot> {
  const recorded = RECORDED_BOOTS.find((name) => name === nameOrDirectory)
  const directory = recorded === undefined ? resolve(nameOrDirectory) : join(import.meta.dirname, 'boots', recorded)
  const eventLog = await readOptional(join(directory, 'eventlog.bin'))
  if (eventLog === undefined) {
    throw new TouchstoneError('standin.boot', `${directory} has no eventlog.bin, and no recorded boot has that name`)
  }
  const imaLog = await readOptional(join(directory, 'ima.bin'))
  const pcrs = await readOptional(join(directory, 'pcrs.json'))
  return {
    name: nameOrDirectory,
    eventLog,
    ...(imaLog === undefined ? {} : { imaLog }),
    ...(pcrs === undefined ? {} : { pcrs: parsePcrs(directory, pcrs) }),
  }
}

function parsePcrs(directory: string, bytes: Buffer): PcrValues {
  try {
    return pcrValues.parse(JSON.parse(bytes.toString()))
  } catch (cause) {
    throw new TouchstoneError('standin.boot', `${directory}/pcrs.json does not hold PCR values by bank`, { cause })
  }
}

async function readOptional(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new TouchstoneError('standin.boot', `${path} cannot be read`, { cause })
  }
}
