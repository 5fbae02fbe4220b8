import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../scripts/stage/processes.ts'
import { MissingData } from './framework.ts'

const directory = join(root, '..', 'shared', 'data', 'eventlogs')

/** A log of a real machine, which is not part of the project; {@link MissingData} where the collection is not there. */
export function realLog(name: string): Buffer {
  const path = join(directory, name)
  if (!existsSync(path)) throw missing()
  return readFileSync(path)
}

/** Names of those that are longer than `bytes`. */
export function logsOver(bytes: number): string[] {
  if (!existsSync(directory)) throw missing()
  return readdirSync(directory)
    .filter((name) => name.endsWith('.bin') && statSync(join(directory, name)).size > bytes)
    .sort()
}

function missing(): MissingData {
  return new MissingData('../shared/data/eventlogs')
}
