import { createHash } from 'node:crypto'
import { appraise } from '../../../src/attest/appraise.ts'
import { parsePolicy } from '../../../src/attest/policy.ts'
import type { Check } from '../../../src/core/index.ts'
import { annotate, parseEventLog } from '../../../src/eventlog/index.ts'
import { parsePcrSelection } from '../../../src/tpm/index.ts'
import { tpm } from '../case.ts'
import { NONCE, pcrsOf, quoteOf, signAttest } from '../evidence.ts'

/** The checks of a policy's own rules over a boot that a TPM quoted. */
export function rulesOver(text: string, eventLog: Uint8Array, bank: 'sha256' | 'sha1' = 'sha256'): Check[] {
  const policy = parsePolicy(text)
  const pcrs = pcrsOf(eventLog)
  const { checks } = appraise({
    policy,
    ak: { public: tpm.akBytes },
    enrolment: 'enrolled',
    ek: tpm.ekBytes,
    ...signAttest(tpm, quoteOf(tpm, { pcrs, selection: parsePcrSelection(`${bank}:0-15`) })),
    nonce: NONCE,
    eventLog,
  })
  return checks.filter(({ check, rule }) => check === 'policy.rule' && rule?.startsWith(`${policy.name}/`) === true)
}

/** Facts whose rules refuse the boot. */
export function refusedFacts(text: string, eventLog: Uint8Array, bank: 'sha256' | 'sha1' = 'sha256'): string[] {
  const refused = rulesOver(text, eventLog, bank).filter(
    ({ outcome }) => outcome === 'fail' || outcome === 'indeterminate',
  )
  return [...new Set(refused.map(({ claim }) => claim ?? ''))]
}

/**
 * The log with one payload changed to another of the same size, and its digests as a machine would have measured it: over the
 * same part of the payload as before.
 */
export function rewriteEvent(eventLog: Buffer, index: number, change: (payload: Buffer) => void): Buffer {
  const log = parseEventLog(eventLog)
  const annotated = annotate(log, 'sha256').find(({ event }) => event.index === index)
  if (annotated === undefined) throw new Error(`no event ${index}`)
  const { event } = annotated
  const copy = Buffer.from(eventLog)
  const start = event.data.byteOffset - eventLog.byteOffset
  const before = Buffer.from(event.data)
  change(copy.subarray(start, start + before.byteLength))
  const spans = spansOf(before.byteLength)
  for (const [bank, digest] of event.digests) {
    const span = spans.find(([from, to]) => createHash(bank).update(before.subarray(from, to)).digest().equals(digest))
    if (span === undefined) throw new Error(`nobody knows what event ${index} measures`)
    const at = eventLog.indexOf(digest, event.offset)
    createHash(bank)
      .update(copy.subarray(start + span[0], start + span[1]))
      .digest()
      .copy(copy, at)
  }
  return copy
}

/** Every part of a payload that begins somewhere and reaches its end, or the byte before it. */
function spansOf(size: number): (readonly [number, number])[] {
  return Array.from({ length: size }, (_, from) => from).flatMap((from) => [
    [from, size] as const,
    [from, size - 1] as const,
  ])
}
