import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../stage/processes.ts'

const boots = join(root, 'swtpm', 'boots')
const shared = join(root, '..', 'shared', 'data')

/** The recordings that the project has of its own. */
export const BOOTS = ['honest', 'cmdline', 'secureboot-off'] as const

export function bootFile(boot: (typeof BOOTS)[number], name: string): Buffer {
  return readFileSync(join(boots, boot, name))
}

/** A file beside the checkout, `undefined` where there is none. */
export function sharedFile(path: string): Buffer | undefined {
  const file = join(shared, path)
  return existsSync(file) ? readFileSync(file) : undefined
}

/** Firmware logs of real machines by their names; none where the data is not beside the checkout. */
export function realLogs(): ReadonlyMap<string, Buffer> {
  const directory = join(shared, 'eventlogs')
  if (!existsSync(directory)) return new Map()
  const names = readdirSync(directory).filter((name) => name.endsWith('.bin'))
  return new Map(names.map((name) => [name, readFileSync(join(directory, name))]))
}

/** Every firmware log that there is, the project's own first. */
export function firmwareLogs(): Buffer[] {
  return [...BOOTS.map((boot) => bootFile(boot, 'eventlog.bin')), ...realLogs().values()]
}

export function imaLogs(): Buffer[] {
  const real = ['qemu-ovmf/secure-boot/ima.bin', 'qemu-ovmf/direct-kernel/ima.bin', 'qemu-ovmf/secure-boot/ima.txt']
  const there = real.map(sharedFile).filter((file) => file !== undefined)
  return [...BOOTS.map((boot) => bootFile(boot, 'ima.bin')), ...there]
}

/** Policies, references and exceptions as the project ships and tests them. */
export function policyTexts(): Buffer[] {
  const directories = [join(root, 'policies'), join(root, 'policies', 'examples')]
  return directories.flatMap((directory) =>
    readdirSync(directory)
      .filter((name) => name.endsWith('.yaml'))
      .map((name) => readFileSync(join(directory, name))),
  )
}
