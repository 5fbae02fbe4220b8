import assert from 'node:assert/strict'
import test from 'node:test'
import { createScheduler } from '../../../src/vtpm/lane/scheduler.ts'
import type { Priority } from '../../../src/vtpm/lane/types.ts'

/** Turns that end when they are told to, and the order in which they began. */
function stage() {
  const scheduler = createScheduler({ maxWaiting: 3 })
  const began: string[] = []
  const ends: (() => void)[] = []
  const run = (priority: Priority, tenant: string, name = tenant): Promise<string> =>
    scheduler.run(priority, tenant, () => {
      began.push(name)
      return new Promise((resolve) => ends.push(() => resolve(name)))
    })
  return {
    scheduler,
    began,
    run,
    /** Ends the turn that runs, and lets the next one begin. */
    end: async (): Promise<void> => {
      ends.shift()?.()
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

test('an idle TPM is given away before run returns', async () => {
  const { scheduler, began, run, end } = stage()
  const turn = run('apps', 'a')
  assert.deepEqual(began, ['a'])
  assert.equal(scheduler.running, 'a')
  await end()
  assert.equal(await turn, 'a')
  assert.equal(scheduler.running, undefined)
})

test('attestation goes before unsealing, and unsealing before apps, but nothing that runs is interrupted', async () => {
  const { began, run, end } = stage()
  void run('apps', 'a', 'running')
  void run('apps', 'b', 'app')
  void run('unseal', 'c', 'unseal')
  void run('attestation', 'd', 'quote')
  assert.deepEqual(began, ['running'])
  for (let count = 0; count < 4; count += 1) await end()
  assert.deepEqual(began, ['running', 'quote', 'unseal', 'app'])
})

test('tenants of one priority take turns, however much one of them asks for', async () => {
  const { began, run, end } = stage()
  for (const name of ['a1', 'a2', 'a3', 'a4']) void run('apps', 'a', name)
  void run('apps', 'b', 'b1')
  void run('apps', 'c', 'c1')
  void run('apps', 'b', 'b2')
  for (let count = 0; count < 7; count += 1) await end()
  assert.deepEqual(began, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4'])
})

test('a quote that comes while many wait is next, whoever waits', async () => {
  const { began, run, end } = stage()
  for (const tenant of ['a', 'b', 'c', 'd']) for (const part of [1, 2, 3]) void run('apps', tenant, `${tenant}${part}`)
  await end()
  void run('attestation', 'agent', 'quote')
  await end()
  assert.equal(began[2], 'quote')
})

test('a tenant whose turns wait up to the bound is refused, and others are not', async () => {
  const { run, end } = stage()
  void run('apps', 'x')
  for (let count = 0; count < 3; count += 1) void run('apps', 'a')
  await assert.rejects(run('apps', 'a'), { code: 'vtpm.lane_busy' })
  void run('apps', 'b')
  await end()
  void run('apps', 'a')
})

test('cancelling calls off the oldest waiting turn of that tenant alone', async () => {
  const { scheduler, began, run, end } = stage()
  void run('apps', 'x')
  const first = run('apps', 'a', 'a1')
  void run('apps', 'a', 'a2')
  void run('apps', 'b', 'b1')
  scheduler.cancelOldest('a')
  await assert.rejects(first, { code: 'vtpm.lane_cancelled' })
  scheduler.cancelOldest('nobody')
  scheduler.cancelOldest('x')
  for (let count = 0; count < 3; count += 1) await end()
  assert.deepEqual(began, ['x', 'a2', 'b1'])
  scheduler.cancelOldest('a')
  void run('apps', 'a', 'a3')
  assert.deepEqual(began.at(-1), 'a3')
})

test('a turn that fails, or does not even begin, gives the TPM back', async () => {
  const { scheduler, run, began } = stage()
  const broken = (): Promise<never> => {
    throw new Error('not begun')
  }
  assert.throws(() => scheduler.run('apps', 'a', broken), { message: 'not begun' })
  const failing = scheduler.run('apps', 'a', () => Promise.reject(new Error('failed')))
  const waiting = scheduler.run('apps', 'a', broken)
  const after = run('apps', 'b', 'after')
  await assert.rejects(failing, { message: 'failed' })
  await assert.rejects(waiting, { message: 'not begun' })
  assert.deepEqual(began, ['after'])
  void after
})
