import assert from 'node:assert/strict'
import test from 'node:test'
import { refusalQueue, type Refusal } from '../../../../../src/vtpm/guest/instance/keeper/refusals.ts'

const tried = { command: 'GET_STATEBLOB', reason: 'control.refused' } as const

function queue() {
  let now = 0
  const told: Refusal[] = []
  const refusals = refusalQueue(
    () => now,
    (refusal) => void told.push(refusal),
  )
  return {
    refusals,
    told,
    pass: (ms: number) => void (now += ms),
    acknowledgeAll: () => [...refusals.waiting].forEach(({ sequence }) => refusals.acknowledge(sequence)),
    commands: (of: string) => told.filter(({ guest }) => guest === of).map(({ command }) => command),
  }
}

test('a guest that tries without end does not fill the log, and does not silence another', () => {
  const { refusals, commands } = queue()
  for (let times = 0; times < 10_000; times++) refusals.add({ guest: 'noisy', ...tried })
  refusals.add({ guest: 'quiet', ...tried })
  assert.equal(commands('noisy').length, 20)
  assert.equal(commands('quiet').length, 1)
})

test('how many were not written down is, before the next one that is, or when there is room', () => {
  const { refusals, told, pass, acknowledgeAll, commands } = queue()
  for (let times = 0; times < 10_000; times++) refusals.add({ guest: 'noisy', ...tried })
  acknowledgeAll()
  pass(20_000)
  refusals.add({ guest: 'noisy', ...tried })
  assert.deepEqual(commands('noisy').slice(20), ['9980 more', 'GET_STATEBLOB'])
  assert.equal(told.at(-2)?.reason, 'control.missed')
  refusals.add({ guest: 'noisy', ...tried })
  refusals.add({ guest: 'noisy', ...tried })
  acknowledgeAll()
  refusals.flush()
  assert.equal(commands('noisy').length, 22, 'not yet')
  pass(10_000)
  refusals.flush()
  assert.equal(commands('noisy').at(-1), '2 more')
})

test('while nobody writes them down, those of one guest and of all are bounded, and none is forgotten', () => {
  const { refusals, told, pass, acknowledgeAll } = queue()
  const day = 24 * 3600 * 1000
  for (let at = 0; at < 100; at++) {
    for (let guest = 0; guest < 200; guest++) refusals.add({ guest: `guest-${guest}`, ...tried })
    pass(day / 100)
  }
  assert.equal([...refusals.waiting].length, 1_024)
  while ([...refusals.waiting].length > 0) {
    acknowledgeAll()
    pass(day)
    refusals.flush()
  }
  const counted = told.reduce(
    (sum, { command, reason }) => sum + (reason === 'control.missed' ? Number.parseInt(command, 10) : 1),
    0,
  )
  assert.equal(counted, 100 * 200)
})

test('what was acknowledged twice, or never told, changes nothing', () => {
  const { refusals } = queue()
  refusals.add({ guest: 'one', ...tried })
  refusals.add({ guest: 'two', ...tried })
  for (const sequence of [1, 1, 99, 0]) refusals.acknowledge(sequence)
  assert.deepEqual(
    [...refusals.waiting].map(({ guest }) => guest),
    ['two'],
  )
})
