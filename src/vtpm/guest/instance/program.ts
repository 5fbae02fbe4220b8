import { access, constants } from 'node:fs/promises'
import { delimiter, isAbsolute, join } from 'node:path'
import { execa } from 'execa'
import { z } from 'zod'
import { TouchstoneError } from '../../../core/index.ts'
import { FEATURE, type SwtpmProgram } from './features.ts'

const capabilities = z.object({
  type: z.literal('swtpm'),
  features: z.array(z.string()).max(256),
  version: z.string().max(64).default('before 0.7'),
})

/** Looks in PATH and asks what it can. Rejects with `guest.swtpm` where it is missing or cannot be used safely. */
export async function findSwtpm(path: string = process.env['PATH'] ?? ''): Promise<SwtpmProgram> {
  const [program, prlimit] = await Promise.all([findProgram('swtpm', path), findProgram('prlimit', path)])
  let text: string
  try {
    const result = await execa(program, ['socket', '--print-capabilities'], { timeout: 10_000, maxBuffer: 65_536 })
    text = result.stdout
  } catch (cause) {
    throw new TouchstoneError('guest.swtpm', `${program} does not say what it can`, { cause })
  }
  const { features, version } = readCapabilities(program, text)
  for (const feature of [FEATURE.keyFd, FEATURE.seccomp]) {
    if (!features.includes(feature)) throw new TouchstoneError('guest.swtpm', `${program} has no ${feature}`)
  }
  return { path: program, prlimit, version, features }
}

function readCapabilities(program: string, text: string): z.output<typeof capabilities> {
  try {
    return capabilities.parse(JSON.parse(text))
  } catch (cause) {
    throw new TouchstoneError('guest.swtpm', `${program} does not say what it can`, { cause })
  }
}

async function findProgram(name: string, path: string): Promise<string> {
  for (const directory of path.split(delimiter).filter(isAbsolute)) {
    const candidate = join(directory, name)
    try {
      await access(candidate, constants.X_OK)
      return candidate
    } catch {
      // Not in this one.
    }
  }
  throw new TouchstoneError('guest.swtpm', `${name} is not in PATH`)
}
