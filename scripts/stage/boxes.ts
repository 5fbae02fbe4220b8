import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeVendorCa, manifestEntry, manifestText, manufacture, type Box } from '../../swtpm/index.ts'
import { initCa, type VerifierOptions } from './fleet.ts'
import { root, runCommand, type Stage } from './processes.ts'

const BATCH = 4

/** A stand-in vendor and `count` boxes of it, each with a TPM of its own. */
export async function manufactureBoxes(
  stage: Stage,
  count: number,
  onProgress: (done: number) => void = () => undefined,
): Promise<readonly Box[]> {
  const vendorCa = await makeVendorCa(join(stage.directory, 'vendor'))
  const boxes: Box[] = []
  while (boxes.length < count) {
    const first = boxes.length
    const batch = Array.from({ length: Math.min(BATCH, count - first) }, (_, at) =>
      manufacture({
        directory: join(stage.directory, `box-${first + at}`),
        vendorCa,
        model: 'Edge 100',
        serial: `SN-${String(first + at + 1).padStart(4, '0')}`,
      }),
    )
    boxes.push(...(await Promise.all(batch)))
    onProgress(boxes.length)
  }
  return boxes
}

/** A policy learned from the honest boot, as a folder of policies. */
export async function learnPolicies(stage: Stage): Promise<string> {
  const policies = join(stage.directory, 'policies')
  await mkdir(policies)
  const log = join(root, 'swtpm', 'boots', 'honest', 'eventlog.bin')
  await writeFile(join(policies, 'learned.yaml'), await runCommand(['policy', 'learn', '--from', log]))
  return policies
}

export async function writeManifest(stage: Stage, boxes: readonly Box[]): Promise<string> {
  const manifest = join(stage.directory, 'manifest.yaml')
  const entries = boxes.map((box) => manifestEntry(box))
  await writeFile(manifest, manifestText('stage', entries))
  return manifest
}

/** Everything that a verifier needs to admit these boxes: CA, policy, manifest. */
export async function prepareFleet(stage: Stage, boxes: readonly Box[]): Promise<VerifierOptions> {
  const manifest = await writeManifest(stage, boxes)
  const policies = await learnPolicies(stage)
  await initCa(stage)
  return { ekRoots: join(stage.directory, 'vendor', 'ek-roots.pem'), manifest, policies, interval: 30 }
}
