import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import fc from 'fast-check'
import { isTouchstoneError } from '../../../src/core/index.ts'
import { readLedger, writeLedger, type LedgerEntry } from '../../../src/vtpm/ledger/content.ts'
import { readIfThere, replaceFile } from '../../../src/vtpm/ledger/durable-file.ts'
import { openLedger, type Ledger, type LedgerStorage } from '../../../src/vtpm/ledger/ledger.ts'
import { cutFs, memoryCounter, plug, PowerCut, type Plug } from './power-cut.ts'

const KEY = Buffer.alloc(32, 7)
const GUESTS = [1, 2, 3].map((n) => `00000000-0000-4000-8000-00000000000${n}`)
const guest = (n: number) => GUESTS[n % GUESTS.length] ?? ''

const started =
  (id: string) =>
  (current: LedgerEntry | undefined): LedgerEntry => ({
    guest: id,
    generation: (current?.generation ?? 0) + 1,
    state: 'running',
    ekName: Buffer.alloc(34, 1),
    tenant: 'lab',
  })

async function directory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'ts-ledger-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

/** A ledger file in memory: every byte string that ever reached the disk is known to the attacker. */
function memoryDisk() {
  let file: Buffer | undefined
  const seen: Buffer[] = []
  return {
    seen,
    get file() {
      return file
    },
    put(bytes: Buffer | undefined) {
      file = bytes
    },
    through: (power: Plug): LedgerStorage => ({
      read: () => Promise.resolve(file),
      replace: (bytes) => {
        const keep = () => Promise.resolve(void seen.push(bytes))
        return power.step(
          async () => {
            await keep()
            file = bytes
          },
          // The temporary file was there, the rename was not.
          keep,
        )
      },
    }),
  }
}

const generations = (ledger: Pick<Ledger, 'entries'>) =>
  ledger.entries().map(({ guest: id, generation, state }) => `${id} ${generation} ${state}`)

test('what was anchored is there after a reopening, ordered by guest', async () => {
  const disk = memoryDisk()
  const counter = memoryCounter()
  const open = (mayBegin: boolean) =>
    openLedger({ storage: disk.through(plug()), counter: counter.through(plug()), key: KEY, mayBegin })
  const ledger = await open(true)
  await ledger.update(guest(1), started(guest(1)))
  await ledger.update(guest(0), (current) => ({
    ...started(guest(0))(current),
    state: 'stopped',
    digest: KEY,
    clean: false,
  }))
  await ledger.close()
  const again = await open(false)
  assert.deepEqual(again.entries(), ledger.entries())
  assert.deepEqual(generations(again), [`${guest(0)} 1 stopped`, `${guest(1)} 1 running`])
  assert.equal(again.get(guest(2)), undefined)
  await assert.rejects(ledger.update(guest(0), started(guest(0))), { code: 'ledger.unavailable' })
})

test('changes that come together are anchored together, and one that throws fails alone', async () => {
  const disk = memoryDisk()
  const counter = memoryCounter()
  const ledger = await openLedger({
    storage: disk.through(plug()),
    counter: counter.through(plug()),
    key: KEY,
    mayBegin: true,
  })
  const before = counter.value
  const results = await Promise.allSettled([
    ledger.update(guest(0), started(guest(0))),
    ledger.update(guest(1), started(guest(1))),
    ledger.update(guest(1), () => {
      throw new RangeError('no')
    }),
    ledger.update(guest(2), started(guest(2))),
  ])
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  )
  assert.ok(counter.value - before <= 2n)
  assert.equal(ledger.entries().length, 3)
})

test('a ledger that is gone is not begun again where there were guests', async () => {
  const storage = memoryDisk().through(plug())
  const counter = memoryCounter()
  await assert.rejects(openLedger({ storage, counter: counter.through(plug()), key: KEY, mayBegin: false }), {
    code: 'ledger.missing',
  })
  assert.equal(counter.value, 7n)
})

test('a begun ledger leaves none behind that was ever written on this TPM', async () => {
  const disk = memoryDisk()
  const counter = memoryCounter()
  const open = () =>
    openLedger({ storage: disk.through(plug()), counter: counter.through(plug()), key: KEY, mayBegin: true })
  const ledger = await open()
  await ledger.update(guest(0), started(guest(0)))
  const all = [...disk.seen]
  disk.put(undefined)
  await open()
  for (const old of all) {
    disk.put(old)
    await assert.rejects(open(), { code: 'ledger.rolled_back' })
  }
})

test('every flipped bit is refused, and so is another key', async () => {
  const content = {
    count: 9n,
    reanchor: false,
    entries: [
      {
        ...started(guest(0))(undefined),
        state: 'stopped' as const,
        digest: Buffer.alloc(32, 5),
        clean: true,
        grant: guest(2),
      },
    ],
  }
  const bytes = writeLedger(KEY, content)
  assert.deepEqual(readLedger(KEY, bytes), content)
  for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    assert.throws(() => readLedger(KEY, flipped), { code: 'ledger.damaged' })
  }
  for (let size = 0; size < bytes.byteLength; size++) {
    assert.throws(() => readLedger(KEY, bytes.subarray(0, size)), { code: 'ledger.damaged' })
  }
  assert.throws(() => readLedger(Buffer.alloc(32, 8), bytes), { code: 'ledger.damaged' })
  await Promise.resolve()
})

test('a ledger whose counter is of another TPM is refused', async () => {
  const disk = memoryDisk()
  const options = { storage: disk.through(plug()), key: KEY, mayBegin: false }
  disk.put(writeLedger(KEY, { count: 9n, reanchor: false, entries: [] }))
  await assert.rejects(openLedger({ ...options, counter: memoryCounter(7n).through(plug()) }), { code: 'ledger.ahead' })
  disk.put(writeLedger(KEY, { count: 10n, reanchor: true, entries: [] }))
  await assert.rejects(openLedger({ ...options, counter: memoryCounter(7n).through(plug()) }), { code: 'ledger.ahead' })
})

test('somebody else who moves the counter stops this ledger for good', async () => {
  const disk = memoryDisk()
  const counter = memoryCounter()
  const through = counter.through(plug())
  const ledger = await openLedger({ storage: disk.through(plug()), counter: through, key: KEY, mayBegin: true })
  await through.increment()
  await assert.rejects(ledger.update(guest(0), started(guest(0))), { code: 'ledger.rolled_back' })
  await assert.rejects(ledger.update(guest(0), started(guest(0))), { code: 'ledger.rolled_back' })
})

test('a TPM or a disk that fails for a while costs no reopening, and whatever was written is one of two', async () => {
  for (let cutAt = 0; cutAt < 4; cutAt++) {
    const disk = memoryDisk()
    const counter = memoryCounter()
    let power = plug()
    const shared: Plug = {
      get steps() {
        return power.steps
      },
      step: (work, half) => power.step(work, half),
    }
    const ledger = await openLedger({
      storage: disk.through(shared),
      counter: counter.through(shared),
      key: KEY,
      mayBegin: true,
    })
    await ledger.update(guest(0), started(guest(0)))
    power = plug(cutAt)
    await assert.rejects(ledger.update(guest(0), started(guest(0))), { code: 'ledger.unavailable' })
    assert.equal(ledger.get(guest(0))?.generation, 1, 'nothing is told as anchored that is not known to be')
    await assert.rejects(ledger.update(guest(0), started(guest(0))), { code: 'ledger.unavailable' })
    await assert.rejects(ledger.ready(), { code: 'ledger.unavailable' })
    power = plug()
    await ledger.ready()
    assert.ok([1, 2].includes(ledger.get(guest(0))?.generation ?? 0), 'old or new, but known from now on')
    const { generation } = await ledger.update(guest(0), started(guest(0)))
    assert.ok(generation === 2 || generation === 3)
    assert.equal(ledger.get(guest(0))?.generation, generation)
  }
})

test('on a real file system, a power cut at any step leaves a ledger that opens, old or new', async (t) => {
  const dir = await directory(t)
  for (const begins of [false, true]) {
    for (let cutAt = 0, isDone = false; !isDone; cutAt++) {
      const path = join(dir, `${begins ? 'begin' : 'update'}-${cutAt}`)
      const counter = memoryCounter()
      const open = (power: Plug) =>
        openLedger({
          storage: { read: () => readIfThere(path), replace: (bytes) => replaceFile(path, bytes, cutFs(power)) },
          counter: counter.through(power),
          key: KEY,
          mayBegin: begins,
        })
      if (!begins) await writeFile(path, writeLedger(KEY, { count: 7n, reanchor: false, entries: [] }))
      const power = plug(cutAt)
      let anchored = 0
      try {
        const ledger = await open(power)
        await ledger.update(guest(0), started(guest(0)))
        anchored = 1
        await ledger.update(guest(0), started(guest(0)))
        anchored = 2
        isDone = true
      } catch (error) {
        assert.ok(isTouchstoneError(error, 'ledger.unavailable') && error.cause instanceof PowerCut)
      }
      const after = (await open(plug())).get(guest(0))?.generation ?? 0
      assert.ok(after === anchored || after === anchored + 1, `${after} after ${anchored} were anchored`)
      assert.equal((await readFile(path)).byteLength > 0, true)
    }
  }
})

/** What the attacker and the machine do next. Cuts count half steps from the beginning of the action. */
type Action =
  | { readonly kind: 'update'; readonly guest: number; readonly cutAt: number }
  | { readonly kind: 'reopen'; readonly cutAt: number }
  | { readonly kind: 'restore'; readonly copy: number }

const cut = fc.oneof({ weight: 2, arbitrary: fc.constant(Infinity) }, { weight: 3, arbitrary: fc.nat(9) })
const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ kind: fc.constant('update' as const), guest: fc.nat(2), cutAt: cut }),
  fc.record({ kind: fc.constant('reopen' as const), cutAt: cut }),
  fc.record({ kind: fc.constant('restore' as const), copy: fc.nat(40) }),
)

test('whatever copies an attacker brings back and wherever the power fails, nothing anchored is undone, and nothing honest is refused', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 4, maxLength: 40 }), async (actions) => {
      const disk = memoryDisk()
      const counter = memoryCounter()
      let power = plug()
      const through = {
        step: <T>(work: () => Promise<T>, half?: () => Promise<unknown>) => power.step(work, half),
        steps: 0,
      }
      const options = { storage: disk.through(through), counter: counter.through(through), key: KEY }
      let ledger: Ledger | undefined = await openLedger({ ...options, mayBegin: true })
      /** Contents that may be the newest: two after a power cut in the middle of an update. */
      let allowed = [generations(ledger).join()]
      /** The file as the broker left it; another one there is the attacker's. */
      let left = disk.file

      const reopen = async (cutAt: number) => {
        ledger = undefined
        power = plug(cutAt)
        const isHonest = disk.file === left
        try {
          const opened = await openLedger({ ...options, mayBegin: false })
          const found = generations(opened).join()
          assert.ok(allowed.includes(found), `opened ${found}, allowed ${allowed.join(' | ')}`)
          allowed = [found]
          left = disk.file
          ledger = opened
        } catch (error) {
          assert.ok(isTouchstoneError(error))
          if (error.code === 'ledger.unavailable') left = disk.file
          else assert.ok(!isHonest, `an honest ledger was refused: ${error.code}`)
        }
      }

      for (const next of actions) {
        switch (next.kind) {
          case 'restore':
            // Nobody can change the file under a running broker without being root on a live host.
            ledger = undefined
            disk.put(disk.seen[next.copy % disk.seen.length])
            break
          case 'reopen':
            await reopen(next.cutAt)
            break
          case 'update': {
            if (ledger === undefined) await reopen(Infinity)
            if (ledger === undefined) {
              disk.put(left)
              break
            }
            power = plug(next.cutAt)
            const id = guest(next.guest)
            const change = started(id)
            const wanted = new Map(ledger.entries().map((entry) => [entry.guest, entry]))
            wanted.set(id, change(wanted.get(id)))
            const after = generations({
              entries: () => [...wanted.values()].sort((a, b) => (a.guest < b.guest ? -1 : 1)),
            }).join()
            try {
              await ledger.update(id, change)
              allowed = [after]
            } catch (error) {
              assert.ok(isTouchstoneError(error, 'ledger.unavailable'))
              allowed.push(after)
              ledger = undefined
            }
            left = disk.file
            break
          }
        }
      }
    }),
    { numRuns: 600 },
  )
})
