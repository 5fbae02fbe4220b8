import { join } from 'node:path'
import { z } from 'zod'
import type { AttestationResult } from '../wire/index.ts'
import { readIfThere, writeAtomically } from './atomic-file.ts'

/** How much of the node's IMA log the verifier has, and how it calls that. */
export type KnownIma = NonNullable<AttestationResult['ima']>

/**
 * What the last answer said of the IMA log. It only ever saves sending: a node that believes in something else than the
 * verifier has is told so, and sends the log from its beginning.
 */
export interface ImaMemory {
  /** Where to go on from, if the verifier still calls it so. */
  after(known: string): KnownIma | undefined
  remember(told: KnownIma | undefined): Promise<void>
  forget(): void
}

/** Changes with every kernel that starts, by kexec too: as a list of IMA does. */
const BOOT_ID = '/proc/sys/kernel/random/boot_id'

/** Shorter lists are sent again, once when the agent starts: that is cheaper than a write to flash at every interval. */
const KEPT_FROM = 1 << 18

const kept = z.strictObject({
  version: z.literal(1),
  boot: z.string(),
  known: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.number().int().nonnegative(),
})

/**
 * The memory of this boot, as an agent before left it in `<stateDir>/ima.json`. It is nobody's truth: what cannot be read
 * is as if there were nothing, and what cannot be written is sent again. `bootIdFile` for tests.
 */
export async function openImaMemory(directory: string, bootIdFile = BOOT_ID): Promise<ImaMemory> {
  const file = join(directory, 'ima.json')
  const boot = (await readText(bootIdFile))?.trim()
  let last = boot === undefined ? undefined : readKept(await readText(file), boot)
  return {
    after: (known) => (last?.known === known ? last : undefined),
    async remember(told) {
      const isSame = told?.known === last?.known && told?.bytes === last?.bytes
      last = told
      if (told === undefined || isSame || boot === undefined || told.bytes < KEPT_FROM) return
      const { known, bytes } = told
      await writeAtomically(file, `${JSON.stringify({ version: 1, boot, known, bytes })}\n`).catch(() => undefined)
    },
    forget() {
      last = undefined
    },
  }
}

function readKept(text: string | undefined, boot: string): KnownIma | undefined {
  if (text === undefined) return undefined
  try {
    const read = kept.safeParse(JSON.parse(text))
    return read.success && read.data.boot === boot ? { known: read.data.known, bytes: read.data.bytes } : undefined
  } catch {
    return undefined
  }
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return (await readIfThere(file))?.toString('utf8')
  } catch {
    return undefined
  }
}
