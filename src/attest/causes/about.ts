import type { Check } from '../../core/index.ts'
import { RULES } from '../rule-table.ts'
import type { Difference } from './difference.ts'
import type { Scene } from './scene.ts'

const IMA_REGISTER = 10
const REGISTERS_OF: ReadonlyMap<string, readonly number[]> = new Map(RULES.map(({ fact, pcrs }) => [fact, pcrs]))

type About = { readonly [K in 'claim' | 'event']?: Check[K] | undefined }

/** Those of its fact, or of the event that it names. */
export function registersAbout({ claim, event }: About): readonly number[] {
  return REGISTERS_OF.get(claim ?? '') ?? (event === undefined ? [] : [event.pcr])
}

/**
 * The differences that a failed check is about: those at the event that it names, else those in the registers of its fact.
 * `undefined`: it is about nothing that a boot measured.
 */
export function differencesAbout({ claim, event }: About, { differences }: Scene): readonly Difference[] | undefined {
  if (event?.pcr === IMA_REGISTER) return undefined
  if (event !== undefined) {
    const own = differences.filter(({ after }) => after?.index === event.index)
    if (own.length > 0) return own
  }
  const registers = registersAbout({ claim, event })
  if (registers.length === 0) return undefined
  return differences.filter(({ register }) => registers.includes(register))
}
