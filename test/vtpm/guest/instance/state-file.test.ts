import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { findSwtpm } from '../../../../src/vtpm/guest/instance/program.ts'
import { withScratchTpm } from '../../../../src/vtpm/guest/instance/scratch-tpm.ts'
import { openStateFile } from '../../../../src/vtpm/guest/instance/state-file.ts'
import { bench } from './bench.ts'

void test('reads what swtpm wrote just as swtpm does, and nothing that differs by a byte', async (t) => {
  const b = await bench(t)
  const runtime = { program: await findSwtpm(), privateDir: join(b.dir, 'run', 'i') }
  const tpm = await b.instances.take()
  let file: Buffer = Buffer.alloc(0)
  let key: Buffer = Buffer.alloc(0)
  // States of several lengths: swtpm pads what it encrypts.
  for (const size of [1, 10, 20, 33]) {
    const started = await b.start('socket', tpm)
    await b.run(started.instance, 'tpm2_nvdefine', '0x1500001', '-s', size.toString(), '-a', 'ownerread|ownerwrite')
    await b.instances.stop(started.instance)
    file = await readFile(join(started.dir, 'tpm2-00.permall'))
    key = started.key
    const state = { from: 'file', file, key } as const
    const bySwtpm = await withScratchTpm(runtime, state, ({ control }) => control.getStateBlob('permanent'))
    assert.deepEqual(openStateFile(file, key), bySwtpm)
  }

  const refused = { code: 'guest.state_damaged' }
  assert.throws(() => openStateFile(file, randomBytes(32)), refused)
  for (let at = 0; at < file.byteLength; at++) {
    const flipped = Buffer.from(file)
    flipped.writeUInt8(flipped.readUInt8(at) ^ 0x40, at)
    // Either it is seen to be damaged, or it is left to swtpm, which sees it.
    try {
      assert.equal(openStateFile(flipped, key), undefined, `byte ${at}`)
    } catch (error) {
      assert.equal(error instanceof Error && 'code' in error && error.code, refused.code, `byte ${at}`)
    }
  }
  for (let size = 0; size < file.byteLength; size++) {
    assert.equal(openStateFile(file.subarray(0, size), key), undefined, `cut to ${size}`)
  }
  assert.equal(openStateFile(Buffer.concat([file, file]), key), undefined)
})
