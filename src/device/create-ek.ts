import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { TouchstoneError } from '../core/index.ts'
import { EK_TEMPLATES } from '../tpm/index.ts'
import { ekRow, type EkKind } from './ek-templates.ts'
import { readPublic } from './read-public.ts'
import type { TpmTools } from './tool-runner.ts'

/** A key in the TPM as the tools address it: a context file, good until the TPM resets. */
export interface LoadedKey {
  readonly context: string
  /** TPM2B_PUBLIC. */
  readonly publicArea: Buffer
}

/** The EK is also a parent, and its kind says how to authorise it. */
export interface LoadedEk extends LoadedKey {
  readonly kind: EkKind
}

const HIGH_RANGE_ATTRIBUTES = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|adminwithpolicy|restricted|decrypt'

/**
 * TPM2_CreatePrimary in the endorsement hierarchy with a TCG template: the same key each time, until the endorsement
 * seed changes. Throws `device.tpm` where the TPM does not have the algorithm.
 */
export async function createEk(tools: TpmTools, kind: EkKind): Promise<LoadedEk> {
  const { make } = ekRow(kind)
  const context = join(tools.contexts, `ek-${kind}.ctx`)
  return await tools.exclusively(async (run, scratch) => {
    if (make.tool === 'tpm2_createek') {
      await run(make.tool, ['--key-algorithm', make.algorithm, '--ek-context', context])
    } else {
      const policyFile = join(scratch, 'policy')
      await writeFile(policyFile, authPolicyOf(kind))
      await run(make.tool, [
        ...['--hierarchy', 'endorsement', '--key-algorithm', make.algorithm, '--hash-algorithm', 'sha256'],
        ...['--attributes', HIGH_RANGE_ATTRIBUTES, '--policy', policyFile, '--key-context', context],
      ])
    }
    return { kind, context, publicArea: await readPublic(run, scratch, context) }
  })
}

function authPolicyOf(kind: EkKind): Buffer {
  const template = EK_TEMPLATES.find(({ name }) => name === kind)
  if (template === undefined) throw new TouchstoneError('tpm.algorithm_unsupported', `no EK template ${kind}`)
  return Buffer.from(template.authPolicy, 'hex')
}
