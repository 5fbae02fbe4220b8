import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fakeTpm, type FakeAnswer } from '../../fixtures/fake-tpm.ts'
import { laneOver } from './lane-fixture.ts'

const CC = { MAKE: 0x131, LOAD: 0x161, SAVE: 0x162, FLUSH: 0x165, READ: 0x173, START: 0x176, DIGEST: 0x189 }

function command(code: number, ...words: readonly number[]): Buffer {
  const bytes = Buffer.alloc(10 + 4 * words.length)
  bytes.writeUInt16BE(0x8001, 0)
  bytes.writeUInt32BE(bytes.byteLength, 2)
  bytes.writeUInt32BE(code, 6)
  words.forEach((word, index) => bytes.writeUInt32BE(word, 10 + 4 * index))
  return bytes
}

const fault = fc.record({
  kind: fc.constant('fault' as const),
  code: fc.constantFrom(...Object.values(CC)),
  answers: fc.array(
    fc.constantFrom<FakeAnswer[]>(0x101, 0x901, 0x902, 0x903, 0x904, 0x922, 'lost', 'away', 'done, lost'),
    {
      minLength: 1,
      maxLength: 3,
    },
  ),
})
const step = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      kind: fc.constantFrom('make', 'start', 'save', 'load', 'flush', 'read', 'use'),
      tenant: fc.nat(2),
      which: fc.nat(7),
    }),
  },
  { weight: 2, arbitrary: fault },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('reset', 'unseen reset', 'reconnect') }) },
)

/** What a tenant believes to have: virtual handle to the number of the object. */
interface Belief {
  readonly objects: Map<number, number>
  readonly contexts: { readonly bytes: Buffer; readonly number: number }[]
  readonly sessions: Set<number>
}

test('whatever fails and is reset in between, a handle means its own object or none', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 120 }), async (steps) => {
      const tpm = fakeTpm({
        slots: 2,
        sessionSlots: 2,
        announcedSlots: 3,
        gap: 12,
        announcedGap: 40,
        activeSessions: 10,
      })
      const lane = await laneOver(tpm.channel)
      const tenants = ['one', 'two', 'three'].map((name) =>
        lane.tenant(name, { class: 'agent', quota: { objects: 6, sessions: 6 } }),
      )
      const beliefs = tenants.map((): Belief => ({ objects: new Map(), contexts: [], sessions: new Set() }))
      let hasFaults = false
      for (const now of steps) {
        if (now.kind === 'fault' && 'code' in now) {
          hasFaults = true
          tpm.next(now.code, ...now.answers)
          continue
        }
        if (!('tenant' in now)) {
          hasFaults = true
          if (now.kind === 'reconnect') tpm.reconnect()
          else tpm.reset(now.kind === 'reset')
          continue
        }
        const [tenant, belief] = [tenants[now.tenant], beliefs[now.tenant]]
        assert.ok(tenant !== undefined && belief !== undefined)
        const { objects, contexts, sessions } = belief
        const ask = async (bytes: Buffer) => {
          const response = await tenant.submit(bytes)
          assert.equal(response.readUInt32BE(2), response.byteLength)
          return { rc: response.readUInt32BE(6), response }
        }
        const pick = <T>(from: Iterable<T>): T | undefined => {
          const all = [...from]
          return all[now.which % Math.max(1, all.length)]
        }
        const handle = pick(objects.keys())
        const session = pick(sessions)
        switch (now.kind) {
          case 'make': {
            const { rc, response } = await ask(command(CC.MAKE, 0x40000001))
            if (rc !== 0) break
            const made = response.readUInt32BE(10)
            const read = await ask(command(CC.READ, made))
            if (read.rc === 0) objects.set(made, read.response.readUInt32BE(10))
            else objects.delete(made)
            break
          }
          case 'read':
            if (handle === undefined) break
            {
              const { rc, response } = await ask(command(CC.READ, handle))
              if (rc === 0) assert.equal(response.readUInt32BE(10), objects.get(handle))
              else if (rc === 0x910) objects.delete(handle)
              else assert.ok(hasFaults, `0x${rc.toString(16)}`)
            }
            break
          case 'save':
            if (handle === undefined) break
            {
              const { rc, response } = await ask(command(CC.SAVE, handle))
              const number = objects.get(handle)
              if (rc === 0 && number !== undefined) contexts.push({ bytes: response.subarray(10), number })
            }
            break
          case 'load': {
            const context = pick(contexts)
            if (context === undefined) break
            const bytes = Buffer.concat([command(CC.LOAD), context.bytes])
            bytes.writeUInt32BE(bytes.byteLength, 2)
            const { rc, response } = await ask(bytes)
            if (rc === 0) objects.set(response.readUInt32BE(10), context.number)
            break
          }
          case 'flush':
            if (handle === undefined) break
            await ask(command(CC.FLUSH, handle))
            objects.delete(handle)
            break
          case 'start': {
            const { rc, response } = await ask(command(CC.START, 0x40000007, 0x40000007))
            if (rc === 0) {
              const started = response.readUInt32BE(10)
              // A handle comes back only when its session has ended, whoever had it.
              for (const other of beliefs) other.sessions.delete(started)
              sessions.add(started)
            }
            break
          }
          case 'use':
            if (session === undefined) break
            {
              const { rc } = await ask(command(CC.DIGEST, session))
              if (rc === 0x910) sessions.delete(session)
              else assert.ok(rc === 0 || hasFaults, `0x${rc.toString(16)}`)
            }
            break
        }
      }
      // Sessions are the TPM's own handles: no two tenants may use one.
      const used: number[] = []
      for (const [index, tenant] of tenants.entries()) {
        for (const session of beliefs[index]?.sessions ?? []) {
          if ((await tenant.submit(command(CC.DIGEST, session))).readUInt32BE(6) === 0) used.push(session)
        }
      }
      assert.equal(new Set(used).size, used.length)
      await lane.lane.close()
    }),
    { numRuns: 400 },
  )
})
