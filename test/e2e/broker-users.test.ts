import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { execa } from 'execa'
import { waitFor } from '../../scripts/stage/fleet.ts'
import type { GuestDetail } from '../../src/wire/index.ts'
import { type LoneBroker, loneBroker } from './lone-broker.ts'

const SKIP = process.getuid?.() === 0 ? false : 'to run guests as users of their own takes root'

const UID_BASE = 212_000
const HYPERVISOR = 211_000
const STRANGER = 210_000
const A = 'aaaaaaaa-0000-4000-8000-00000000000a'
const B = 'bbbbbbbb-0000-4000-8000-00000000000b'
const C = 'cccccccc-0000-4000-8000-00000000000c'
const INDEX = '0x01800100'
const CREATION = { tenant: 'lab', attachment: 'socket' } as const

async function world(t: TestContext): Promise<LoneBroker> {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const guests = { uidBase: UID_BASE, hypervisorUid: HYPERVISOR, pool: 1 }
  return await loneBroker(t, { guests, recoveryKey: 'recovery.pub' }, async (stateDir) => {
    await writeFile(join(dirname(stateDir), 'recovery.pub'), publicKey.export({ type: 'spki', format: 'pem' }))
    return undefined
  })
}

/** Real, effective, saved and file-system user and group of a process, and its further groups. */
async function usersOf(pid: number): Promise<readonly string[]> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1')
  const field = (name: string) => new RegExp(`^${name}:[\\t ]*(.*?)[\\t ]*$`, 'm').exec(status)?.[1] ?? ''
  return [field('Uid').replaceAll('\t', ' '), field('Gid').replaceAll('\t', ' '), field('Groups')]
}

async function runsAs({ running }: GuestDetail, uid: number): Promise<void> {
  const all = [uid, uid, uid, uid].join(' ')
  assert.deepEqual(await usersOf(running?.pid ?? 0), [all, all, ''])
}

/** A program as another user, with nothing else that it could be let in by. */
const as = (uid: number, program: string, args: readonly string[], env: object = {}) =>
  execa(program, args, {
    uid,
    gid: uid,
    cwd: '/',
    env: { TSS2_LOG: 'all+none', ...env },
    extendEnv: true,
    timeout: 30_000,
  })

const tool = (guest: GuestDetail, name: string, ...args: readonly string[]) =>
  as(HYPERVISOR, name, args, { TPM2TOOLS_TCTI: `swtpm:path=${guest.running?.data ?? ''}` })

/** Of all files below a directory, whose names are no secret here, those that `uid` can read. */
async function readableBy(uid: number, directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  assert.ok(files.length > 0)
  const { stdout } = await as(uid, 'sh', ['-c', 'for f; do [ ! -r "$f" ] || echo "$f"; done', 'sh', ...files])
  return stdout.split('\n').filter((line) => line !== '')
}

test(
  'guests under users of their own live a whole life, and no user comes near what is not his',
  { skip: SKIP },
  async (t) => {
    const broker = await world(t)
    const { stateDir } = broker
    const act = (guest: string, action: string, body?: object) => broker.guest(guest, action, body)
    const describe = (guest: string) => broker.describe(guest)
    const ask = (path: string, body: object = {}) => broker.ask('POST', path, body)
    for (const guest of [A, B]) await ask('/v1/guests', { guest, ...CREATION })
    const [a, b] = [await act(A, 'start'), await act(B, 'start')]
    const stateOf = (guest: string, generation: number) => join(stateDir, 'guests', guest, `gen-${generation}`, 'state')

    await t.test('each TPM runs as its own user and group, with no other', async () => {
      await runsAs(a, UID_BASE)
      await runsAs(b, UID_BASE + 1)
    })

    await t.test("its state is its own; keys, ledger and records are nobody else's but the broker's", async () => {
      for (const [guest, uid] of [
        [A, UID_BASE],
        [B, UID_BASE + 1],
      ] as const) {
        const directory = stateOf(guest, 1)
        const found = await stat(directory)
        assert.deepEqual([found.uid, found.gid, found.mode & 0o777], [uid, uid, 0o700])
        for (const name of await readdir(directory)) assert.equal((await stat(join(directory, name))).uid, uid, name)
      }
      const own = await readableBy(UID_BASE, stateDir)
      assert.ok(own.length > 0 && own.every((path) => path.startsWith(join(stateDir, 'guests', A))), own.join(' '))
      assert.deepEqual(await readableBy(HYPERVISOR, stateDir), [])
      assert.deepEqual(await readableBy(STRANGER, stateDir), [])
      assert.deepEqual(await readableBy(STRANGER, broker.runDir), [])
      assert.deepEqual(await readableBy(UID_BASE, broker.runDir), [])
    })

    await t.test("sockets are the hypervisor's, and open for nobody else", async () => {
      for (const socket of [a.running?.data, a.running?.control]) {
        const { uid, mode } = await stat(socket ?? '')
        assert.deepEqual([uid, mode & 0o777], [HYPERVISOR, 0o600])
      }
      assert.match((await tool(a, 'tpm2_getrandom', '--hex', '4')).stdout, /^[0-9a-f]{8}$/)
      const env = { TPM2TOOLS_TCTI: `swtpm:path=${a.running?.data ?? ''}` }
      for (const uid of [STRANGER, UID_BASE + 1]) await assert.rejects(as(uid, 'tpm2_getrandom', ['--hex', '4'], env))
      // No TPM of one guest signals, or looks into, that of another.
      await assert.rejects(as(UID_BASE + 1, 'kill', ['-0', String(a.running?.pid)]))
      await assert.rejects(as(UID_BASE + 1, 'cat', [`/proc/${a.running?.pid ?? 0}/environ`]))
      await assert.rejects(as(UID_BASE, 'cat', [`/proc/${a.running?.pid ?? 0}/mem`]))
    })

    const counted = async (guest: GuestDetail) => {
      await tool(guest, 'tpm2_nvincrement', INDEX, '-C', 'o')
      return (await tool(guest, 'tpm2_nvread', INDEX, '-C', 'o')).stdout
    }

    await t.test('a stop and a start keep user and content', async () => {
      await tool(a, 'tpm2_nvdefine', INDEX, '-C', 'o', '-a', 'ownerread|ownerwrite|nt=counter')
      await counted(a)
      assert.ok((await act(A, 'stop')).clean)
      const again = await act(A, 'start')
      assert.deepEqual([again.generation, again.clean], [2, true])
      await runsAs(again, UID_BASE)
      await counted(again)
      assert.equal((await stat(stateOf(A, 2))).uid, UID_BASE)
    })

    await t.test('guests outlive the broker under their users, and the next one takes them over', async () => {
      const before = await describe(A)
      await broker.kill()
      await broker.start()
      const adopted = await describe(A)
      assert.deepEqual([adopted.state, adopted.running?.pid], ['running', before.running?.pid])
      await runsAs(adopted, UID_BASE)
      await counted(adopted)
    })

    await t.test('one that was killed starts again as unclean, and as its user', async () => {
      process.kill((await describe(A)).running?.pid ?? 0, 'SIGKILL')
      await waitFor('its end to be seen', broker.command, async () =>
        (await describe(A)).state === 'stopped' ? true : undefined,
      )
      const again = await act(A, 'start')
      assert.deepEqual([again.generation, again.clean], [3, false])
      await runsAs(again, UID_BASE)
      await counted(again)
    })

    await t.test('backup, restore and another key are no business of users', async () => {
      await act(A, 'stop')
      const backup = await ask(`/v1/guests/${A}/backup`)
      await act(A, 'rekey')
      const restored = await act(A, 'restore', { backup, confirm: true })
      const started = await act(A, 'start')
      assert.equal(started.generation, restored.generation + 1)
      await runsAs(started, UID_BASE)
      await counted(started)
      assert.equal((await stat(stateOf(A, started.generation))).uid, UID_BASE)
    })

    await t.test('damaged state lies in quarantine, where no user reaches it, and comes back', async () => {
      await act(B, 'stop')
      await act(B, 'start')
      await act(B, 'stop')
      const file = join(stateOf(B, 2), 'tpm2-00.permall')
      const bytes = await readFile(file)
      bytes.writeUInt8(bytes.readUInt8(900) ^ 1, 900)
      await writeFile(file, bytes)
      await assert.rejects(act(B, 'start'), { code: 'guest.state_damaged' })
      const { restorable, escrow } = await describe(B)
      assert.deepEqual(
        restorable.map(({ from, generation }) => [from, generation]),
        [
          ['quarantine', 2],
          ['previous', 1],
        ],
      )
      assert.ok(escrow !== undefined)
      assert.deepEqual(await readableBy(UID_BASE + 1, join(stateDir, 'quarantine')), [])
      await act(B, 'restore', { generation: 1, confirm: true })
      await runsAs(await act(B, 'start'), UID_BASE + 1)
    })

    await t.test('a guest that is gone leaves nothing, and its user to the next', async () => {
      await act(A, 'stop')
      await act(A, 'delete', { purge: true })
      await assert.rejects(stat(join(stateDir, 'guests', A)), { code: 'ENOENT' })
      assert.deepEqual(await readableBy(UID_BASE, stateDir), [])
      await ask('/v1/guests', { guest: C, ...CREATION })
      const next = await act(C, 'start')
      await runsAs(next, UID_BASE)
      await runsAs(await describe(B), UID_BASE + 1)
      await assert.rejects(tool(next, 'tpm2_nvread', INDEX, '-C', 'o'))
      for (const guest of [B, C]) await act(guest, 'stop')
    })
  },
)
