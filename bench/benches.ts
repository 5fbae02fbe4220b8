import type { Bench } from './framework.ts'

/** By name, loaded when asked for. A bench may report more rows than the one of its name. */
export const BENCHES: Readonly<Record<string, () => Promise<Bench>>> = {
  'lane-getrandom': async () => (await import('./lane.ts')).laneGetRandom,
  'lane-pcrread': async () => (await import('./lane.ts')).lanePcrRead,
  'lane-sign': async () => (await import('./lane.ts')).laneSign,
  'lane-fair': async () => (await import('./lane-fair.ts')).laneFair,
  'vtpm-path': async () => (await import('./vtpm-path.ts')).vtpmPath,
  'vtpm-start': async () => (await import('./vtpm-start.ts')).vtpmStart,
  'vtpm-many': async () => (await import('./vtpm-many.ts')).vtpmMany,
  'quote-verify': async () => (await import('./quote-verify.ts')).quoteVerify,
  'log-replay': async () => (await import('./log-replay.ts')).logReplay,
  'appraise-cold': async () => (await import('./appraise.ts')).appraiseCold,
  'appraise-warm': async () => (await import('./appraise.ts')).appraiseWarm,
  'ima-replay': async () => (await import('./ima-replay.ts')).imaReplay,
  linear: async () => (await import('./linear.ts')).linear,
  'what-if': async () => (await import('./what-if.ts')).whatIfFleet,
}
