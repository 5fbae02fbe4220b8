import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { learnPolicy } from '../../src/attest/index.ts'
import { makeVendorCa, manufacture, powerOn, readBoot, type VendorCa } from '../../swtpm/index.ts'

/** A test, or a whole file of them: `{ after }` of node:test. */
export interface Cleanup {
  after(work: () => unknown): void
}

/** Short, because the path of a Unix socket is limited. */
export function boxDirectory(t: Cleanup): string {
  const directory = mkdtempSync(join(tmpdir(), 'ts-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** A vendor, and its root as a verifier is given it. */
export async function testVendor(t: Cleanup): Promise<{ vendor: VendorCa; ekRoots: readonly string[] }> {
  const vendor = await makeVendorCa(join(boxDirectory(t), 'vendor'))
  return { vendor, ekRoots: [readFileSync(vendor.bundle, 'utf8')] }
}

/** A box of that vendor, switched on after a boot of that name. */
export async function testBox(
  t: Cleanup,
  vendor: VendorCa,
  claim: { model: string; serial: string },
  boot: 'honest' | 'cmdline' | 'secureboot-off' = 'honest',
) {
  const directory = join(boxDirectory(t), 'box')
  const box = await manufacture({ directory, vendorCa: vendor, ...claim })
  let powered = await powerOn({ directory, boot: await readBoot(boot) })
  t.after(() => powered.powerOff())
  return {
    box,
    get powered() {
      return powered
    },
    /** Off and on again. */
    async reboot(next: typeof boot, presented?: { eventLog: Uint8Array }) {
      await powered.powerOff()
      powered = await powerOn({
        directory,
        boot: await readBoot(next),
        ...(presented === undefined ? {} : { presented }),
      })
      return powered
    },
  }
}

/** Accepts the recorded honest boot and no other. */
export async function honestPolicy(): Promise<string> {
  const { eventLog } = await readBoot('honest')
  return learnPolicy({ name: 'honest', eventLog })
}
