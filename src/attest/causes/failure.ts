import type { Check } from '../../core/index.ts'
import { explanationOf, knownText } from '../explain.ts'
import { differencesAbout } from './about.ts'
import { cut, describeChange } from './difference.ts'
import type { Difference } from './difference.ts'
import type { Cause } from './find-causes.ts'
import { releaseText } from './known-release.ts'
import type { Scene } from './scene.ts'

/** One failed check, beside what the verdict itself says of it. */
export interface FailureExplanation {
  readonly check: string
  readonly rule?: string
  readonly claim?: string
  readonly code?: string
  /** In one line: what it is about, and what is wrong. */
  readonly title: string
  /** Ids of the causes that account for it. */
  readonly causes: readonly string[]
  /** How what it is about differs from the last good boot, in words; absent where there is none to compare with. */
  readonly lastGood?: readonly string[]
  /** The known reference that is closest to what came, and what the last good boot was known as. */
  readonly nearest?: string
  /** What to do now. */
  readonly next: string
}

const MAX_LINES = 3

export function explainFailure(check: Check, scene: Scene, causes: readonly Cause[]): FailureExplanation {
  const { title, hint } = explanationOf(check)
  const about = scene.diff === undefined ? undefined : differencesAbout(check, scene)
  const nearest = nearestText(check, about ?? [], scene)
  return {
    check: check.check,
    ...(check.rule === undefined ? {} : { rule: check.rule }),
    ...(check.claim === undefined ? {} : { claim: check.claim }),
    ...(check.code === undefined ? {} : { code: check.code }),
    title: cut(title, 240),
    causes: causes.filter(({ explains }) => explains.includes(check.claim ?? check.check)).map(({ id }) => id),
    ...(about === undefined ? {} : { lastGood: lastGoodLines(about) }),
    ...(nearest === undefined ? {} : { nearest }),
    next:
      hint ?? 'See docs/checks.md for what the check asks; if it is not there, this build is older than the verifier.',
  }
}

function lastGoodLines(differences: readonly Difference[]): readonly string[] {
  if (differences.length === 0) return ['the same as in the last good boot']
  const lines = differences.slice(0, MAX_LINES).map((difference) => cut(describeChange(difference), 200))
  const more = differences.length - lines.length
  return more === 0 ? lines : [...lines, `and ${more} more`]
}

function nearestText(check: Check, differences: readonly Difference[], { release }: Scene): string | undefined {
  const [difference] = differences
  const then = release(difference?.before)
  const said = knownText(check)
  const before = then === undefined ? undefined : `the last good boot had ${releaseText(then)}`
  const texts = [said, before].filter((text) => text !== undefined)
  return texts.length === 0 ? undefined : texts.join('; ')
}
