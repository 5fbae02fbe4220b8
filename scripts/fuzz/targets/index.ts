import type { Target } from '../target.ts'
import { evidenceTarget } from './evidence.ts'
import { jsonTarget } from './json.ts'
import { imageTarget, manifestTarget } from './learned.ts'
import { celTargets, diffTarget, logTarget, replayTarget } from './logs.ts'
import { imaTarget, policyTarget, structureTarget } from './others.ts'
import { signaturesTarget } from './signatures.ts'
import { txtTarget } from './txt.ts'
import { userspaceTarget } from './userspace.ts'

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
  userspaceTarget,
  jsonTarget,
  signaturesTarget,
  txtTarget,
]
