import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { appraise } from '../../src/attest/appraise.ts'
import type { AppraisalInput } from '../../src/attest/appraise.ts'
import { parseResources } from '../../src/attest/policy.ts'
import { isTouchstoneError } from '../../src/core/index.ts'
import { evidenceOf, honest } from '../attest/case.ts'

const good = evidenceOf(honest)
const { public: ak } = good.ak as { public: Uint8Array }

const parts: Readonly<Record<string, { readonly bytes: Uint8Array; readonly put: (b: Uint8Array) => AppraisalInput }>> =
  {
    quote: { bytes: good.quote, put: (quote) => ({ ...good, quote }) },
    signature: { bytes: good.signature, put: (signature) => ({ ...good, signature }) },
    'attestation key': { bytes: ak, put: (bytes) => ({ ...good, ak: { public: bytes } }) },
    'endorsement key': { bytes: good.ek ?? Buffer.alloc(0), put: (ek) => ({ ...good, ek }) },
    'event log': { bytes: good.eventLog, put: (eventLog) => ({ ...good, eventLog }) },
    'IMA log': { bytes: honest.imaLog, put: (imaLog) => ({ ...good, imaLog }) },
  }

/** Bytes of which a stretch was replaced by others: inserted, cut out, or overwritten. */
function spliced(bytes: Uint8Array): fc.Arbitrary<Buffer> {
  return fc
    .tuple(fc.nat(bytes.byteLength), fc.nat(64), fc.uint8Array({ maxLength: 64 }))
    .map(([at, removed, added]) => Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]))
}

for (const [what, { bytes, put }] of Object.entries(parts)) {
  test(`whatever comes as ${what} gives a verdict or a coded refusal, and never another error`, () => {
    const hostile = fc.oneof(spliced(bytes), fc.uint8Array({ maxLength: 512 }))
    fc.assert(
      fc.property(hostile, (changed) => {
        try {
          const { status, checks } = appraise(put(changed))
          assert.ok(
            Buffer.from(changed).equals(bytes) || status !== 'affirming' || what === 'event log' || what === 'IMA log',
          )
          for (const check of checks) assert.ok(check.outcome === 'pass' || check.code !== undefined, check.check)
          JSON.stringify(checks)
        } catch (error) {
          assert.ok(isTouchstoneError(error), String(error))
        }
      }),
      { numRuns: 400 },
    )
  })
}

test('whatever comes as a policy is read or refused with its faults, and never another error', () => {
  const text = `apiVersion: touchstone/v1
kind: AttestationPolicy
metadata: { name: test }
spec:
  pcrs: sha256:0-15
  secureBoot: { enabled: { is: true }, pk: { anyOf: [${'ab'.repeat(32)}] } }
  kernel: { commandLine: { parameters: { allowed: [ro, "root=*"] } } }
  references: [{ name: a, entries: [{ value: x, state: revoked }] }]
`
  const mutated = spliced(Buffer.from(text)).map((bytes) => bytes.toString('latin1'))
  fc.assert(
    fc.property(fc.oneof(mutated, fc.string()), (candidate) => {
      try {
        parseResources(candidate)
      } catch (error) {
        assert.ok(isTouchstoneError(error, 'policy.invalid'), String(error))
      }
    }),
    { numRuns: 1000 },
  )
})
