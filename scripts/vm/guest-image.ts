import { hash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { root } from '../stage/processes.ts'

const directory = join(root, '.vm')
const packages = join(directory, 'packages')
const images = join(directory, 'images')

/** What of this checkout is in the image, or decides on it. */
const INPUTS = [
  'src',
  'bin',
  'package.json',
  'package-lock.json',
  ...scripts('image', 'early-init', 'guest-init', 'strip-types.ts'),
]
/** An image that nobody has asked for in that time is nobody's any more. */
const UNUSED_MS = 30 * 60_000

/** For the `skip` option of a test: `false` where the machine can be made, else the reason that the run prints. */
export const SKIP_WITHOUT_GUEST_IMAGE: string | false =
  existsSync(join(packages, 'root')) || existsSync('/usr/bin/apt-get')
    ? false
    : 'there are no packages for the guest machine, and no apt to download them with'

/**
 * Directory of vmlinuz, initrd.img and root.img with this checkout inside. Built (some 5 s) where the last one is of other
 * sources; whoever asks meanwhile waits for it.
 */
export async function guestImage(): Promise<string> {
  if (!existsSync(join(packages, 'root'))) {
    throw new Error("the guest machine's packages are missing; scripts/setup downloads them")
  }
  const image = join(images, (await digestOfInputs()).slice(0, 16))
  await mkdir(images, { recursive: true })
  await execa('flock', [join(directory, 'image.lock'), join(import.meta.dirname, 'image'), packages, image])
  const now = new Date()
  await utimes(image, now, now)
  for (const name of await readdir(images)) {
    const other = join(images, name)
    const found = await stat(other).catch(() => undefined) // removed by somebody else
    if (found !== undefined && now.getTime() - found.mtimeMs > UNUSED_MS)
      await rm(other, { recursive: true, force: true })
  }
  return image
}

function scripts(...names: readonly string[]): readonly string[] {
  return names.map((name) => join('scripts', 'vm', name))
}

async function digestOfInputs(): Promise<string> {
  const files: string[] = []
  for (const input of INPUTS) {
    const path = join(root, input)
    if (!(await stat(path)).isDirectory()) files.push(path)
    else {
      const entries = await readdir(path, { recursive: true, withFileTypes: true })
      files.push(...entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)))
    }
  }
  // The tools come from this machine, and the kernel from the packages.
  const tools = await Promise.all(['/usr/bin/tpm2', '/usr/bin/swtpm'].map(async (tool) => (await stat(tool)).mtimeMs))
  const parts = [process.version, ...(await readdir(join(packages, 'root', 'lib', 'modules'))), ...tools.map(String)]
  for (const file of files.sort()) parts.push(file, hash('sha256', await readFile(file)))
  return hash('sha256', parts.join('\n'))
}
