import assert from 'node:assert/strict'
import type { Guests } from '../../../src/vtpm/guest/guests.ts'
import type { Machine } from './machine.ts'

export const A = 'aaaaaaaa-0000-4000-8000-000000000001'
export const B = 'bbbbbbbb-0000-4000-8000-000000000002'

export const creation = { tenant: 'lab', attachment: 'socket' } as const

/** A broker on this machine that lives until it is told otherwise. */
export async function booted(node: Machine): Promise<Guests> {
  const guests = await node.boot()
  assert.ok(guests !== 'dead')
  return guests
}
