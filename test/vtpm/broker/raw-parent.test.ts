import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { isTouchstoneError } from '../../../src/core/index.ts'
import { parentOf } from '../../../src/vtpm/broker/raw-parent.ts'
import type { SealedBlob } from '../../../src/vtpm/hardware/index.ts'

/** Hardware of which only the order of its keys matters. */
function hardware(secret: string) {
  let made = 0
  const loaded: string[] = []
  return {
    loaded,
    roots: {
      createChild: () => Promise.resolve({ public: Buffer.from([++made]), private: Buffer.from('private') }),
      parentLoader: (blob: SealedBlob) => {
        loaded.push(blob.public.toString('hex'))
        return { load: () => Promise.resolve(0) }
      },
      derive: (purpose: string) => hash('sha256', `${secret} ${purpose}`, 'buffer'),
    },
  }
}

async function stateDir(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ts-p-'))
  t.after(() => rm(directory, { recursive: true }))
  return directory
}

const isRefused = (error: unknown) => isTouchstoneError(error, 'vtpm.hardware_state')

test('a tenant has the same parent at every start, and no other tenant has it', async (t) => {
  const directory = await stateDir(t)
  const { roots, loaded } = hardware('node')
  for (const tenant of ['web', 'db', 'web', 'db']) await parentOf(roots, directory, tenant)
  assert.deepEqual(loaded, ['01', '02', '01', '02'])
})

test("refuses the parent of another tenant, one of another node's, and what is none", async (t) => {
  const directory = await stateDir(t)
  const { roots } = hardware('node')
  for (const tenant of ['web', 'db']) await parentOf(roots, directory, tenant)
  await assert.rejects(parentOf(hardware('another').roots, directory, 'web'), isRefused)
  const [web, db] = ['web', 'db'].map((tenant) => join(directory, 'parents', tenant))
  assert.ok(web !== undefined && db !== undefined)
  await cp(db, web)
  await assert.rejects(parentOf(roots, directory, 'web'), isRefused)
  await writeFile(web, Buffer.from('a0', 'hex'))
  await assert.rejects(parentOf(roots, directory, 'web'), isRefused)
})
