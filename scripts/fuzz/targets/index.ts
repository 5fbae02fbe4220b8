import type { Target } from '../target.ts'
import { evidenceTarget } from './evidence.ts'
import { imageTarget, manifestTarget } from './learned.ts'
import { celTargets, diffTarget, logTarget, replayTarget } from './logs.ts'
import { imaTarget, policyTarget, structureTarget } from './others.ts'

/** Everything that is fuzzed; a new one is a new row. */
export const TARGETS: readonly Target[] = [
  logTarget,
  ...celTargets,
  replayTarget,
  diffTarget,
  evidenceTarget,
  imaTarget,
  policyTarget,
  structureTarget,
  manifestTarget,
  imageTarget,
]
