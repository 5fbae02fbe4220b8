import { lchown, link, lstat, rm } from 'node:fs/promises'
import { TouchstoneError } from '../../../core/index.ts'
import type { LaunchOptions } from './types.ts'

/**
 * Gives swtpm's own socket a second name, for the guest's side; the broker goes on using the first. `owner` may open it.
 * The first lies in a directory of swtpm's user, so it is looked at before it is given away.
 */
export async function publishSocket(from: string, to: string, owner: LaunchOptions['owner']): Promise<void> {
  await rm(to, { force: true })
  await link(from, to)
  if (!(await lstat(to)).isSocket()) {
    await rm(to, { force: true })
    throw new TouchstoneError('guest.swtpm', `${from} is no socket`)
  }
  if (owner !== undefined) await lchown(to, owner.uid, owner.gid)
}
