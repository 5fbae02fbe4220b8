import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { isSameProcess, type ProcessIdentity } from '../process-identity.ts'
import { sweepScratch } from '../run-files.ts'
import { KEEPER_FILES } from './protocol.ts'

const identity = z.strictObject({ pid: z.int().min(2), startTime: z.string(), bootId: z.string() })

/** Of a keeper's last words: a stack. */
const MOST_WORDS = 4_096

/** `<runDir>/k/<any>/`: the directory of one keeper, with its socket, and the TPMs that it lends a moment's life. */
export interface KeeperFiles {
  dirs(): Promise<readonly string[]>
  make(): Promise<string>
  /** Which process serves there, as far as it has said. */
  process(dir: string): Promise<ProcessIdentity | undefined>
  /** Ends one that does not answer. */
  kill(dir: string): Promise<undefined>
  /** What one that has died left on its stderr. */
  lastWords(dir: string): Promise<string>
  /** With the TPMs that it was working on when it died. */
  remove(dir: string): Promise<void>
}

export async function openKeeperFiles(runDir: string): Promise<KeeperFiles> {
  const all = join(runDir, 'k')
  await mkdir(all, { recursive: true, mode: 0o711 })
  // Users of guests pass through, to copies of their TPMs.
  await chmod(all, 0o711)
  const identityOf = async (dir: string): Promise<ProcessIdentity | undefined> => {
    try {
      return identity.parse(JSON.parse(await readFile(join(dir, KEEPER_FILES.process), 'utf8')))
    } catch {
      return undefined
    }
  }
  return {
    dirs: async () => (await readdir(all)).map((name) => join(all, name)),
    async make() {
      const dir = await mkdtemp(join(all, 'k-'))
      await chmod(dir, 0o711)
      return dir
    },
    process: identityOf,
    async kill(dir) {
      const found = await identityOf(dir)
      if (found !== undefined && (await isSameProcess(found))) process.kill(found.pid, 'SIGKILL')
    },
    async lastWords(dir) {
      try {
        const file = await open(join(dir, KEEPER_FILES.log))
        try {
          const { buffer, bytesRead } = await file.read(Buffer.alloc(MOST_WORDS))
          return buffer.toString('utf8', 0, bytesRead).trim()
        } finally {
          await file.close()
        }
      } catch {
        return ''
      }
    },
    async remove(dir) {
      await sweepScratch(dir)
      await rm(dir, { recursive: true, force: true })
    },
  }
}
