import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { execa } from 'execa'
import { isTouchstoneError } from '../../../src/core/index.ts'
import { certificateFor } from './ek-certificate.ts'
import { DESTINATION, grantAuthority, SOURCE } from './grants.ts'
import { A, creation } from './guest-cases.ts'
import { realNode } from './real-node.ts'

// The same promises as in the tests beside this one, with a swtpm for hardware and swtpms for guests.

const run = promisify(execFile)
const INDEX = '0x1800001'
const STATE = 'tpm2-00.permall'

test('what a guest keeps in its TPM survives stops, its broker and a SIGKILL, and its EK stays the same', async (t) => {
  const node = await realNode(t)
  const { guests } = await node.begin()
  const { ekName } = await guests.create({ ...creation, guest: A })
  await guests.start(A)
  await node.tool(A, 'tpm2_nvdefine', INDEX, '-C', 'o', '-a', 'ownerread|ownerwrite|nt=counter')
  await node.tool(A, 'tpm2_nvincrement', INDEX, '-C', 'o')
  await guests.stop(A)
  await guests.start(A)
  await node.tool(A, 'tpm2_nvincrement', INDEX, '-C', 'o')
  await node.leave()
  const second = await node.begin()
  const adopted = await second.guests.describe(A)
  assert.deepEqual([adopted.state, adopted.generation], ['running', 2])
  await node.tool(A, 'tpm2_nvincrement', INDEX, '-C', 'o')
  process.kill(adopted.running?.pid ?? 0, 'SIGKILL')
  await second.guests.stop(A).catch((error: unknown) => assert.ok(isTouchstoneError(error, 'guest.not_running')))
  const started = await second.guests.start(A)
  assert.deepEqual([started.generation, started.clean, started.ekName], [3, false, ekName])
  const counter = await node.tool(A, 'tpm2_nvread', INDEX, '-C', 'o')
  const first = counter.readBigUInt64BE()
  await node.tool(A, 'tpm2_nvincrement', INDEX, '-C', 'o')
  assert.equal((await node.tool(A, 'tpm2_nvread', INDEX, '-C', 'o')).readBigUInt64BE(), first + 1n)
  const ek = join(node.box.stateDir, 'ek')
  await node.tool(A, 'tpm2_createek', '-G', 'ecc', '-c', `${ek}.ctx`, '-u', `${ek}.pub`)
  const name = await execa('tpm2_print', ['-t', 'TPM2B_PUBLIC', `${ek}.pub`])
  assert.match(name.stdout, /fixedtpm\|fixedparent/)
})

test('the EK certificate of a guest is in its TPM, where tools look for it', async (t) => {
  const issued: Buffer[] = []
  const node = await realNode(t, {
    async obtainEkCertificate({ ekPublic }) {
      const der = await certificateFor(ekPublic)
      issued.push(der)
      return der
    },
  })
  const { guests } = await node.begin()
  await guests.create({ ...creation, guest: A, certificate: 'required' })
  assert.equal((await guests.start(A)).certificate, 'written')
  assert.equal(issued.length, 1)
  assert.deepEqual(await node.tool(A, 'tpm2_nvread', '0x1c0000a', '-C', 'o'), issued.at(-1))
  await guests.stop(A)
  await guests.start(A)
  assert.deepEqual(await node.tool(A, 'tpm2_nvread', '0x1c0000a', '-C', 'o'), issued.at(-1))
})

test('an EK certificate that comes late is written into the TPM of the guest that runs, which keeps it', async (t) => {
  let isReachable = false
  let issued: Buffer = Buffer.alloc(0)
  const node = await realNode(t, {
    async obtainEkCertificate({ ekPublic }) {
      if (isReachable) issued = await certificateFor(ekPublic)
      return isReachable ? issued : 'pending'
    },
  })
  const { guests } = await node.begin()
  await guests.create({ ...creation, guest: A })
  assert.equal((await guests.start(A)).certificate, 'pending')
  await assert.rejects(node.tool(A, 'tpm2_nvread', '0x1c0000a', '-C', 'o'))
  // What the guest has open in its TPM meanwhile stays as it is.
  await node.tool(A, 'tpm2_startauthsession', '-S', 'session')
  isReachable = true
  await guests.completeCertificates()
  const { certificate, generation } = await guests.describe(A)
  assert.deepEqual([certificate, generation], ['written', 1])
  assert.deepEqual(await node.tool(A, 'tpm2_nvread', '0x1c0000a', '-C', 'o'), issued)
  await node.tool(A, 'tpm2_flushcontext', 'session')
  await guests.stop(A)
  await guests.start(A)
  assert.deepEqual(await node.tool(A, 'tpm2_nvread', '0x1c0000a', '-C', 'o'), issued)
})

test('rolled back, damaged and cloned state of a real TPM is refused, the newest is not', async (t) => {
  const node = await realNode(t)
  const { guests } = await node.begin()
  const file = (generation: number) => join(node.box.stateDir, 'guests', A, `gen-${generation}`, 'state', STATE)
  const current = (generation: number) => join(node.box.stateDir, 'guests', A, `gen-${generation}`)
  await guests.create({ ...creation, guest: A })
  await guests.start(A)
  await guests.stop(A)
  await guests.start(A)
  const running = await readFile(file(2))
  await node.tool(A, 'tpm2_nvdefine', INDEX, '-C', 'o', '-a', 'ownerread|ownerwrite')
  await guests.stop(A)
  const keep = join(node.box.stateDir, 'keep')
  await cp(current(2), keep, { recursive: true })
  const putRight = async () => {
    await rm(current(2), { recursive: true, force: true })
    await cp(keep, current(2), { recursive: true })
  }
  await writeFile(file(2), running)
  await assert.rejects(guests.start(A), { code: 'guest.state_rolled_back' })
  await putRight()
  await writeFile(file(2), await readFile(file(1)))
  await assert.rejects(guests.start(A), { code: 'guest.state_rolled_back' })
  await putRight()
  const bytes = await readFile(file(2))
  bytes.writeUInt8(bytes.readUInt8(900) ^ 1, 900)
  await writeFile(file(2), bytes)
  await assert.rejects(guests.start(A), { code: 'guest.state_damaged' })
  await putRight()
  await truncate(file(2), 100)
  await assert.rejects(guests.start(A), { code: 'guest.state_damaged' })
  await putRight()
  assert.equal((await guests.start(A)).generation, 3)
  assert.match((await node.tool(A, 'tpm2_nvreadpublic')).toString(), new RegExp(INDEX))
})

test('a stolen disk behind another TPM opens nothing', async (t) => {
  const node = await realNode(t)
  const { guests } = await node.begin()
  await guests.create({ ...creation, guest: A })
  await node.leave()
  await node.box.replaceTpm()
  await node.box.boot('good image')
  await assert.rejects(node.begin(), { code: 'vtpm.sealed_elsewhere' })
})

test('a guest moves between two nodes with TPMs of their own, and goes on with its state', async (t) => {
  const authority = grantAuthority()
  const grantKey = () => authority.spki
  const from = await realNode(t, { grantKey, nodeId: () => SOURCE })
  const to = await realNode(t, { grantKey, nodeId: () => DESTINATION })
  const here = await from.begin()
  const there = await to.begin()
  const { ekName } = await here.guests.create({ ...creation, guest: A })
  await here.guests.start(A)
  await from.tool(A, 'tpm2_nvdefine', INDEX, '-C', 'o', '-a', 'ownerread|ownerwrite')
  await here.guests.stop(A)
  const place = { nodeRef: there.roots.nodeRef, transportSpki: there.roots.transportKey.spki }
  const grant = authority.migrate(A, place)
  const left = await here.guests.export(A, grant)
  await assert.rejects(here.guests.start(A), { code: 'guest.retired' })
  await there.guests.import(grant, left)
  const started = await there.guests.start(A)
  assert.deepEqual([started.generation, started.ekName], [3, ekName])
  assert.match((await to.tool(A, 'tpm2_nvreadpublic')).toString(), new RegExp(INDEX))
})

test('a full disk refuses what it cannot keep, and the last good state starts when there is room again', async (t) => {
  let mounted: string | undefined
  const mount = async (dir: string) => {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=512k,mode=0700', 'tmpfs', dir])
    mounted = dir
  }
  // Registered first, so that it runs after the node's own clean-up.
  const node = await realNode(t, {
    prepare: async (dir) => {
      await mount(dir).catch(() => undefined)
    },
  })
  if (mounted === undefined) {
    t.skip('needs the right to mount a tmpfs')
    return
  }
  const filler = join(mounted, 'filler')
  const fill = async () => {
    await writeFile(filler, Buffer.alloc(1 << 20)).catch((error: unknown) => {
      assert.ok(error instanceof Error && 'code' in error && error.code === 'ENOSPC')
    })
  }
  try {
    const { guests } = await node.begin()
    await guests.create({ ...creation, guest: A })
    await guests.start(A)
    await guests.stop(A)
    await fill()
    await assert.rejects(guests.start(A), { code: 'guest.storage' })
    assert.deepEqual([(await guests.describe(A)).state, (await guests.describe(A)).generation], ['stopped', 1])
    await rm(filler)
    assert.equal((await guests.start(A)).generation, 2)
    await fill()
    await assert.rejects(guests.stop(A), { code: 'ledger.unavailable' })
    await rm(filler)
    const { generation, clean } = await guests.start(A)
    assert.deepEqual([generation, clean], [3, true], 'the stop was told when there was room')
    await guests.stop(A)
  } finally {
    await node.leave()
    await node.box.stop()
    await run('umount', [mounted])
  }
})
