import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { MissingPeer } from '../framework.ts'

/** Some programs that a peer needs are in sbin, which is not in everybody's PATH. */
const PATH = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']

/** The absolute path of `program`, or {@link MissingPeer} with the Debian packages that have it. */
export function installed(program: string, packages: string): string {
  for (const directory of PATH) {
    const path = join(directory, program)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // In another directory, or nowhere.
    }
  }
  throw new MissingPeer(program, packages)
}
