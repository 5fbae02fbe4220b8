import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sharedData } from '../fixtures/shared-data.ts'

/** The project's own recordings of a virtual machine. */
export const BOOTS = ['honest', 'cmdline', 'secureboot-off'] as const

export function bootFile(boot: (typeof BOOTS)[number], name: string): Buffer {
  return readFileSync(join(import.meta.dirname, '..', '..', 'swtpm', 'boots', boot, name))
}

export function bootPcrs(boot: (typeof BOOTS)[number]): Record<string, Record<string, string>> {
  return JSON.parse(bootFile(boot, 'pcrs.json').toString()) as Record<string, Record<string, string>>
}

/** Names of the logs of real machines, without their suffix. */
export function realLogs(): string[] {
  return readdirSync(sharedData('eventlogs'))
    .filter((name) => name.endsWith('.bin'))
    .map((name) => name.slice(0, -4))
}

export function realLog(name: string): Buffer {
  return readFileSync(sharedData(`eventlogs/${name}.bin`))
}

export const OVMF_BOOTS = ['secure-boot', 'direct-kernel'] as const

export function ovmfFile(boot: (typeof OVMF_BOOTS)[number], name: string): Buffer {
  return readFileSync(sharedData(`qemu-ovmf/${boot}/${name}`))
}

/** `bank:pcr=VALUE` a line, as the recipe wrote them. */
export function ovmfPcrs(boot: (typeof OVMF_BOOTS)[number]): Map<string, string> {
  const lines = ovmfFile(boot, 'pcrs.txt').toString().trim().split('\n')
  return new Map(
    lines.map((line) => {
      const [key, value] = line.split('=')
      return [key ?? '', (value ?? '').toLowerCase()]
    }),
  )
}
