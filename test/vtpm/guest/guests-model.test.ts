import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { isTouchstoneError } from '../../../src/core/index.ts'
import type { Guests } from '../../../src/vtpm/guest/guests.ts'
import { copyDisk, exchange, putBack, type DiskCopy } from './disk-copies.ts'
import { machine } from './machine.ts'

const GUESTS = ['aaaaaaaa-0000-4000-8000-000000000001', 'bbbbbbbb-0000-4000-8000-000000000002'] as const
const creation = { tenant: 'lab', attachment: 'socket' } as const

type Action =
  | { readonly kind: 'start' | 'stop' | 'rekey' | 'backup'; readonly guest: number; readonly cutAt: number }
  | { readonly kind: 'write' | 'kill'; readonly guest: number }
  | { readonly kind: 'reboot'; readonly cutAt: number; readonly powerCut: boolean }
  | { readonly kind: 'attack'; readonly copy: number; readonly what: number }

const guest = fc.nat(1)
const cutAt = fc.oneof({ weight: 3, arbitrary: fc.constant(Infinity) }, { weight: 2, arbitrary: fc.nat(24) })
const honest: fc.Arbitrary<Action> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('start' as const), guest, cutAt }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('stop' as const, 'rekey', 'backup'), guest, cutAt }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('write' as const, 'write', 'kill'), guest }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reboot' as const), cutAt, powerCut: fc.boolean() }) },
)
const attack: fc.Arbitrary<Action> = fc.record({
  kind: fc.constant('attack' as const),
  /** How many actions ago the copy was taken. */
  copy: fc.oneof(fc.nat(4), fc.nat(30)),
  what: fc.nat(8),
})

/**
 * Runs the actions against a machine and holds the broker to two promises: what a guest's TPM starts with is what it had
 * at its last recorded stop, or something of its current generation after a crash; and where nobody touched the disk, it
 * starts.
 */
async function play(actions: readonly Action[]): Promise<void> {
  const after: (() => Promise<void>)[] = []
  const node = await machine({ after: (fn) => void after.push(async () => await (fn as () => Promise<void>)()) })
  try {
    let guests: Guests | 'dead' = await node.boot()
    assert.ok(guests !== 'dead')
    for (const id of GUESTS) await guests.create({ ...creation, guest: id })
    /** Values that each guest may start with. */
    const allowed = new Map<string, Set<number>>(GUESTS.map((id) => [id, new Set([0])]))
    let isTouched = false
    const copies: DiskCopy[] = [await copyDisk(node.stateDir)]

    const boot = async (at: number): Promise<void> => {
      try {
        guests = await node.boot(at)
      } catch (error) {
        assert.ok(isTouched && isTouchstoneError(error), `an honest broker does not begin: ${String(error)}`)
        guests = 'dead'
      }
    }
    const check = (id: string, when: string) => {
      const value = node.value(id)
      if (value === undefined) return
      assert.ok(
        allowed.get(id)?.has(value),
        `${when}: ${id} has ${value}, allowed ${[...(allowed.get(id) ?? [])].join()}`,
      )
    }
    /** One action of the broker; afterwards it is alive, dead, or could not be begun. */
    const act = async (at: number, work: (broker: Guests) => Promise<unknown>): Promise<'done' | 'dead' | Error> => {
      if (guests === 'dead') await boot(Infinity)
      if (guests === 'dead') return 'dead'
      node.cut(at)
      try {
        const answer = await node.during(work(guests))
        if (answer === 'dead') guests = 'dead'
        return answer === 'dead' ? 'dead' : 'done'
      } catch (error) {
        assert.ok(isTouchstoneError(error), String(error))
        return error
      } finally {
        node.cut(Infinity)
      }
    }

    for (const action of actions) {
      const id = 'guest' in action ? (GUESTS[action.guest] ?? GUESTS[0]) : GUESTS[0]
      switch (action.kind) {
        case 'write': {
          const before = node.value(id)
          if ((await node.write(id)) && before !== undefined) allowed.get(id)?.add(before + 1)
          break
        }
        case 'kill':
          await node.kill(id)
          break
        case 'start': {
          const answer = await act(action.cutAt, (broker) => broker.start(id))
          check(id, 'after a start')
          if (answer === 'done') {
            const value = node.value(id)
            assert.ok(value !== undefined)
            allowed.set(id, new Set([value]))
          } else if (answer instanceof Error && !isTouched) {
            assert.ok(isTouchstoneError(answer, 'guest.running'), `an honest guest does not start: ${String(answer)}`)
          }
          break
        }
        case 'stop': {
          const value = node.value(id)
          const answer = await act(action.cutAt, (broker) => broker.stop(id))
          if (answer === 'done' && value !== undefined) allowed.set(id, new Set([value]))
          break
        }
        case 'rekey': {
          const answer = await act(action.cutAt, (broker) => broker.rekey(id))
          if (answer instanceof Error && !isTouched) assert.ok(isTouchstoneError(answer, 'guest.running'))
          break
        }
        case 'backup': {
          const answer = await act(action.cutAt, (broker) => broker.backup(id))
          assert.ok(!(answer instanceof Error) || isTouched, String(answer))
          break
        }
        case 'reboot':
          if (action.powerCut) await node.powerOff()
          await boot(action.cutAt)
          break
        case 'attack': {
          // Power is off: whoever changes files under a live broker is root on a live host.
          await node.powerOff()
          guests = 'dead'
          isTouched = true
          const copy = copies[copies.length - 1 - (action.copy % copies.length)]
          assert.ok(copy !== undefined)
          const victim = GUESTS[action.what % 2] ?? GUESTS[0]
          if (action.what < 2) await putBack(node.stateDir, copy)
          else if (action.what < 4) await putBack(node.stateDir, copy, join('guests', victim))
          else if (action.what < 5) await putBack(node.stateDir, copy, 'ledger')
          else if (action.what < 6)
            await exchange(join(node.stateDir, 'guests', GUESTS[0]), join(node.stateDir, 'guests', GUESTS[1])).catch(
              () => undefined,
            )
          else if (action.what < 7) await rm(join(node.stateDir, 'ledger'), { force: true })
          else {
            // One file from anywhere in the past.
            const names = [...copy.keys()]
            const name = names[action.copy % names.length]
            if (name !== undefined) await putBack(node.stateDir, copy, name)
          }
          for (const each of GUESTS) {
            const answer = await act(Infinity, (broker) => broker.start(each))
            check(each, 'after an attack')
            const value = node.value(each)
            if (answer === 'done' && value !== undefined) allowed.set(each, new Set([value]))
          }
          break
        }
      }
      for (const each of GUESTS) check(each, `after ${action.kind}`)
      copies.push(await copyDisk(node.stateDir))
    }
    await node.powerOff()
    if (!isTouched) {
      await boot(Infinity)
      assert.ok(guests !== 'dead')
      for (const id of GUESTS) {
        await guests.start(id)
        check(id, 'at the end')
      }
    }
  } finally {
    for (const end of after) await end()
  }
}

test('wherever the power fails, every guest starts again with what it may have, and nothing is lost that was acknowledged', async () => {
  await fc.assert(fc.asyncProperty(fc.array(honest, { minLength: 3, maxLength: 14 }), play), { numRuns: 60 })
})

test('whatever older files an attacker puts back, no guest starts with state of the past', async () => {
  const mixed = fc.array(fc.oneof({ weight: 3, arbitrary: honest }, { weight: 1, arbitrary: attack }), {
    minLength: 6,
    maxLength: 18,
  })
  await fc.assert(fc.asyncProperty(mixed, play), { numRuns: 60 })
})
