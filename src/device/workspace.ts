import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A directory of mode 0700 that nobody else can have prepared: mkdtemp makes it anew or fails. */
export async function makePrivateDirectory(parent: string = tmpdir()): Promise<string> {
  return await mkdtemp(join(parent, 'touchstone-'))
}

/** Runs `work` with such a directory and removes it whatever happens; secrets pass through it. */
export async function withPrivateDirectory<T>(
  parent: string | undefined,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  const directory = await makePrivateDirectory(parent)
  try {
    return await work(directory)
  } finally {
    await removeDirectory(directory)
  }
}

export async function removeDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true })
}
