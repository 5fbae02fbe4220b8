import { readdir, readFile, readlink } from 'node:fs/promises'
import { isTouchstoneError } from '../../../core/index.ts'
import { swtpmControl } from '../../../device/swtpm-control.ts'
import type { SwtpmProcess } from './process.ts'

/**
 * Whether a swtpm without a data socket has a data channel: a socket that is not one of its control socket. swtpm 0.7 has no
 * command that says so, and keeps every descriptor that it refuses, so that asking with one would fill its table. It closes
 * the channel when the other end is gone.
 */
export async function hasDataChannel({
  identity,
  controlPath,
}: Pick<SwtpmProcess, 'identity' | 'controlPath'>): Promise<boolean> {
  const directory = `/proc/${identity.pid}/fd`
  const names = await readdir(directory).catch(() => [])
  const links = await Promise.all(names.map((name) => readlink(`${directory}/${name}`).catch(() => '')))
  const inodes = links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? [])
  const controls = await boundTo(controlPath)
  return inodes.some((inode) => !controls.has(inode))
}

/** proc(5), /proc/net/unix: inode and path are the last two of eight columns. */
async function boundTo(path: string): Promise<ReadonlySet<string>> {
  const lines = (await readFile('/proc/net/unix', 'utf8')).split('\n')
  return new Set(
    lines.flatMap((line) => {
      const [, , , , , , inode, bound] = line.trim().split(/ +/)
      return inode !== undefined && bound === path ? [inode] : []
    }),
  )
}

const HELD = 300

/** For a virtual machine that has swtpm's control socket to itself: another client waits as long as it is there. */
export async function isControlHeld({ controlPath }: SwtpmProcess): Promise<boolean> {
  try {
    await swtpmControl(controlPath, HELD).getCapability()
    return false
  } catch (error) {
    return isTouchstoneError(error, 'device.timeout')
  }
}
