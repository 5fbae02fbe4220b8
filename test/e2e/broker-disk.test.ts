import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { execa } from 'execa'
import { guestNv, type GuestNv } from '../../scripts/chaos/guest-nv.ts'
import { runCommand } from '../../scripts/stage/processes.ts'
import { waitFor } from '../../scripts/stage/fleet.ts'
import { isTouchstoneError, type ErrorCode } from '../../src/core/index.ts'
import { responseCodeOf } from '../../src/device/index.ts'
import { openKeysClient } from '../../src/vtpm/keys/client.ts'
import { guestDetail } from '../../src/wire/index.ts'
import { auditReport } from '../../src/vtpm/broker/index.ts'
import { loneBroker } from './lone-broker.ts'

const GUESTS = ['aaaaaaaa-0000-4000-8000-0000000000d1', 'bbbbbbbb-0000-4000-8000-0000000000d2'] as const
const LATE = 'cccccccc-0000-4000-8000-0000000000d3'
const TENANT = 'web'
const CREATION = { tenant: 'lab', attachment: 'socket' } as const
const SIZE = '2m'

const run = (program: string, ...args: readonly string[]) => execa(program, args)

/** Tried in a name space of its own, which ends with it. */
const canMount = await run('unshare', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt').then(
  () => true,
  () => false,
)
const SKIP = canMount ? false : 'to give a broker a small disk takes the right to mount a tmpfs'

/** What somebody in a guest was told was kept. */
interface Kept {
  counted: bigint
  recorded: bigint
  /** Asked for, and never answered. */
  readonly unknown: bigint[]
}

const codeOf = async (work: Promise<unknown>): Promise<ErrorCode | 'done' | 'uncoded'> =>
  work.then(
    () => 'done' as const,
    (error: unknown) => (isTouchstoneError(error) ? error.code : 'uncoded'),
  )

test(
  'a disk that fills up under a broker and its guests loses nothing that was acknowledged',
  { skip: SKIP },
  async (t) => {
    const tenants = [{ name: TENANT }]
    const broker = await loneBroker(t, { tenants, guests: { pool: 0 } }, async (stateDir) => {
      await run('mount', '-t', 'tmpfs', '-o', `size=${SIZE},mode=0711`, 'tmpfs', stateDir)
      // Lazily: guests' processes that were ended a moment ago may hold it still.
      return () => run('umount', '--lazy', stateDir)
    })
    const { stateDir } = broker
    const ask = (path: string, body: object = {}) => broker.ask('POST', path, body)
    const keys = openKeysClient(join(broker.runDir, 't', TENANT, 'keys.sock'))
    const filler = join(stateDir, 'filler')
    const fill = async () => {
      await assert.rejects(writeFile(filler, Buffer.alloc(4 << 20)), { code: 'ENOSPC' })
    }
    const makeRoom = () => rm(filler)

    const kept = new Map<string, Kept>()
    for (const guest of GUESTS) {
      await ask('/v1/guests', { guest, ...CREATION })
      await broker.guest(guest, 'start')
      kept.set(guest, { counted: 0n, recorded: 0n, unknown: [] })
    }
    const keptOf = (guest: string) => kept.get(guest) ?? assert.fail()
    const nvOf = async (guest: string, define = false) => {
      const { running } = await broker.describe(guest)
      return await guestNv(running?.data ?? '', { define })
    }
    /** Writes until the TPM refuses, or `most` times; answers what it refused with. */
    const writeOn = async (guest: string, nv: GuestNv, most: number): Promise<number | undefined> => {
      const mine = keptOf(guest)
      try {
        for (let round = 0; round < most; round += 1) {
          mine.counted = await nv.increment()
          const value = mine.counted * 1000n + BigInt(round)
          mine.unknown.push(value)
          await nv.write(value)
          mine.recorded = value
          mine.unknown.splice(0)
        }
        return undefined
      } catch (error) {
        const rc = responseCodeOf(error)
        assert.ok(rc !== undefined, String(error))
        return rc
      }
    }
    /** After a power-on: all that was acknowledged, and at most what was under way beside it. */
    const compare = async (guest: string): Promise<void> => {
      const { counted, recorded, unknown } = keptOf(guest)
      const nv = await nvOf(guest)
      try {
        const found = await nv.count()
        assert.ok(found >= counted && found <= counted + 1n, `${guest} counted ${counted}, and has ${found}`)
        const record = await nv.read()
        assert.ok([recorded, ...unknown].includes(record), `${guest} recorded ${recorded}, and has ${record}`)
        Object.assign(keptOf(guest), { counted: found, recorded: record })
        unknown.splice(0)
      } finally {
        await nv.close()
      }
    }

    await t.test('while there is room, guests write and apps make keys', async () => {
      for (const guest of GUESTS) {
        const nv = await nvOf(guest, true)
        assert.equal(await writeOn(guest, nv, 20), undefined)
        await nv.close()
      }
      await keys.create('before', { kind: 'ecdsa-p256' })
    })

    await t.test(
      'guests that write while it fills up are told so by their TPMs, and nothing else goes wrong',
      async () => {
        const open = await Promise.all(GUESTS.map((guest) => nvOf(guest)))
        const writing = GUESTS.map((guest, at) => writeOn(guest, open[at] ?? assert.fail(), 100_000))
        await fill()
        const refusals = await Promise.all(writing)
        // TPM_RC_FAILURE: a TPM whose memory does not take a write stays off until it is started anew.
        assert.ok(
          refusals.every((rc) => rc !== undefined),
          String(refusals),
        )
        await Promise.all(open.map((nv) => nv.close()))
      },
    )

    await t.test('what the broker cannot keep is refused with a code, and what it need not keep goes on', async () => {
      const [first] = GUESTS
      assert.equal(await codeOf(ask('/v1/guests', { guest: LATE, ...CREATION })), 'guest.storage')
      assert.equal(await codeOf(ask(`/v1/guests/${first}/backup`)), 'done')
      assert.equal(await codeOf(keys.create('late', { kind: 'ecdsa-p256' })), 'key.storage')
      assert.equal((await keys.sign('before', { message: Buffer.from('m') })).algorithm, 'ES256')
      assert.ok((await broker.status()).guests !== undefined)
    })

    await t.test('the record of what was done waits in memory, and says so', async () => {
      const { problems } = await broker.until('the audit log to be full', (now) =>
        now.problems.some(({ source }) => source === 'audit'),
      )
      assert.deepEqual(
        problems.map(({ source, code }) => [source, code]),
        [['audit', 'vtpm.audit_full']],
      )
      await makeRoom()
      await broker.until(
        'the audit log to be written again',
        (now) => !now.problems.some(({ source }) => source === 'audit'),
      )
      await keys.create('late', { kind: 'ecdsa-p256' })
    })

    await t.test('with room again, each guest starts with all that was acknowledged', async () => {
      for (const guest of GUESTS) {
        await broker.guest(guest, 'stop')
        await broker.guest(guest, 'start')
        await compare(guest)
        const nv = await nvOf(guest)
        assert.equal(await writeOn(guest, nv, 20), undefined)
        await nv.close()
      }
      await ask('/v1/guests', { guest: LATE, ...CREATION })
      await broker.guest(LATE, 'start')
    })

    await t.test('a stop and a start on the full disk are refused or done, and never half', async () => {
      await fill()
      for (const guest of GUESTS) {
        const stopped = await codeOf(broker.guest(guest, 'stop'))
        assert.ok(stopped === 'done' || stopped === 'ledger.unavailable' || stopped === 'guest.storage', stopped)
        const started = await codeOf(broker.guest(guest, 'start'))
        assert.ok(['guest.storage', 'ledger.unavailable', 'guest.running', 'guest.swtpm'].includes(started), started)
      }
      await makeRoom()
      for (const guest of GUESTS) {
        await broker.guest(guest, 'start')
        await compare(guest)
      }
    })

    await t.test(
      'a broker that is killed and started on the full disk is locked, says why, and opens when there is room',
      async () => {
        await fill()
        await broker.kill()
        await broker.start({ isReady: false })
        const { problems } = await broker.until('it to say why', (now) =>
          now.problems.some(({ source }) => source === 'secrets'),
        )
        const codes = problems.filter(({ source }) => source === 'secrets').map(({ code }) => code)
        assert.deepEqual(codes, ['ledger.unavailable'])
        await makeRoom()
        await codeOf(broker.ask('POST', '/v1/releases/fetch'))
        await broker.until('it to open', ({ state }) => state === 'ready')
        await broker.until('all to be well again', (now) => now.problems.length === 0)
        for (const guest of [...GUESTS, LATE]) {
          const { state } = await waitFor('a guest to be taken over', broker.command, async () => {
            const now = guestDetail.parse(await broker.ask('GET', `/v1/guests/${guest}`))
            return now.state === 'running' ? now : undefined
          })
          assert.equal(state, 'running')
        }
        for (const guest of GUESTS) await compare(guest)
      },
    )

    await t.test('the audit log has all that was done, and verifies', async () => {
      const environment = { TOUCHSTONE_BROKER: join(broker.runDir, 'broker.sock') }
      const report = auditReport.parse(
        JSON.parse(await runCommand(['broker', 'audit', 'verify', '--json'], environment)),
      )
      assert.deepEqual([report.problems, report.lostEntries], [[], 0])
      const web = report.chains.find(({ chain }) => chain === `tenants/${TENANT}`)
      assert.ok((web?.entries ?? 0) >= 4)
    })
  },
)
