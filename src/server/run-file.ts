import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { TouchstoneError } from '../core/index.ts'
import { readIfThere, writePrivateFile } from './private-file.ts'

const runFile = z.object({ url: z.string(), pid: z.number().int().positive() })

/** `<dataDir>/run.json`: where the verifier of this data directory serves, for whoever starts it and waits. */
export interface RunFile {
  write(url: string): Promise<void>
  remove(): Promise<void>
}

/**
 * Clears the file of a verifier that was killed, so that nobody who waits finds it, and refuses while one is at work:
 * two would overwrite each other's. Throws `serve.running`.
 */
export async function openRunFile(dataDir: string): Promise<RunFile> {
  const path = join(dataDir, 'run.json')
  const other = parse(await readIfThere(path))
  if (other !== undefined && (await isVerifier(other.pid))) {
    throw new TouchstoneError('serve.running', `process ${other.pid} serves this data directory at ${other.url}`)
  }
  await rm(path, { force: true })
  return {
    write: (url) => writePrivateFile(path, `${JSON.stringify({ url, pid: process.pid })}\n`),
    async remove() {
      if (parse(await readIfThere(path))?.pid === process.pid) await rm(path, { force: true })
    },
  }
}

function parse(text: string | undefined): z.output<typeof runFile> | undefined {
  try {
    return text === undefined ? undefined : runFile.parse(JSON.parse(text))
  } catch {
    return undefined // half a file is nobody's
  }
}

/** Process ids are used again: only one whose command line is that of a verifier counts. */
async function isVerifier(pid: number): Promise<boolean> {
  if (pid === process.pid) return false
  try {
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0')
    return words.includes('serve') && words.some((word) => /touchstone|main\.[jt]s$/.test(word))
  } catch {
    return false // it has ended
  }
}
