import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BootName } from '../case.ts'

export const KERNEL_VERSION = '6.1.0-56-cloud-amd64'
const BOOTS = join(import.meta.dirname, '..', '..', '..', 'swtpm', 'boots')

/** The grub.cfg of a recorded boot, as swtpm/record/disk.sh writes it. */
export function recordedConfiguration(boot: BootName): string {
  const words = readFileSync(join(BOOTS, boot, 'cmdline'), 'utf8')
    .trim()
    .split(' ')
  const [, ...parameters] = words
  return [
    'set timeout=0',
    "menuentry 'edge node' {",
    `  search --no-floppy --set=root --file /boot/vmlinuz-${KERNEL_VERSION}`,
    `  linuxefi /boot/vmlinuz-${KERNEL_VERSION} ${parameters.join(' ')}`,
    `  initrdefi /boot/initrd.img-${KERNEL_VERSION}`,
    '}',
    '',
  ].join('\n')
}
