import { OID, validatePath, type Certificate, type PathFailure } from '../ca/path/index.ts'
import type { Clock } from '../core/index.ts'

/** What the node believes of certificates: its pinned anchors, and its clock as far as that can be believed. */
export interface Trust {
  readonly anchors: readonly Certificate[]
  /** Whether a chain of that purpose holds. */
  judge(purpose: keyof typeof PURPOSES, leaf: Certificate, intermediates: readonly Certificate[]): TrustResult
}

export type TrustResult = { readonly ok: true } | { readonly ok: false; readonly failure: PathFailure }

/** Node certificates chain to the same root; only their purpose keeps a node from speaking as the verifier. */
const PURPOSES = {
  tls: OID.serverAuth,
  answer: OID.resultSigning,
  device: OID.clientAuth,
  ak: OID.aikCertificate,
} as const

/**
 * Before time is known the anchor is pinned and validity is not judged. That the time is not known shows by itself: a
 * chain that the pinned root signed and that is not valid *yet* is proof that the clock is behind, be it at 1970 or at
 * the day the image was built; `onClock` hears of it. A chain that has expired is never accepted that way.
 */
export function makeTrust(
  anchors: readonly Certificate[],
  clock: Clock,
  onClock: (state: 'plausible' | 'behind') => void,
): Trust {
  return {
    anchors,
    judge(purpose, leaf, intermediates) {
      const options = { leaf, intermediates, anchors, extendedKeyUsage: PURPOSES[purpose] }
      const dated = validatePath({ ...options, now: clock.now() })
      if (dated.ok) onClock('plausible')
      if (dated.ok || dated.failure.code !== 'path.not_yet_valid') return dated
      const undated = validatePath({ ...options, now: 'ignoreValidity' })
      if (undated.ok) onClock('behind')
      return undated
    },
  }
}
