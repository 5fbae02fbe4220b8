import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'

/** Everything below a directory at one time: what an attacker with the disk in hand takes along. */
export type DiskCopy = ReadonlyMap<string, Buffer>

export async function copyDisk(root: string): Promise<DiskCopy> {
  const files = (await readdir(root, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
  return new Map(
    await Promise.all(
      files.map(async ({ parentPath, name }) => {
        const path = join(parentPath, name)
        return [relative(root, path), await readFile(path)] as const
      }),
    ),
  )
}

/** Makes what is below `prefix` as it was in `copy`, files that were not there yet included. */
export async function putBack(root: string, copy: DiskCopy, prefix = ''): Promise<void> {
  const gone = prefix === '' ? await readdir(root) : [prefix]
  for (const name of gone) await rm(join(root, name), { recursive: true, force: true })
  for (const [name, bytes] of copy) {
    if (!name.startsWith(prefix)) continue
    await mkdir(dirname(join(root, name)), { recursive: true })
    await writeFile(join(root, name), bytes)
  }
}

/** Exchanges two directories. */
export async function exchange(one: string, other: string): Promise<void> {
  const aside = `${one}.aside`
  await cp(one, aside, { recursive: true })
  await rm(one, { recursive: true })
  await cp(other, one, { recursive: true })
  await rm(other, { recursive: true })
  await cp(aside, other, { recursive: true })
  await rm(aside, { recursive: true })
}
