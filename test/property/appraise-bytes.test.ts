import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { Appraisal, AppraisalInput } from '../../src/attest/appraise.ts'
import { learnPolicy } from '../../src/attest/learn.ts'
import { parsePolicy } from '../../src/attest/policy.ts'
import { isTouchstoneError } from '../../src/core/index.ts'
import { boundClaims, describeEventLog, eventTypeName, parseEventLog } from '../../src/eventlog/index.ts'
import { policyOf } from '../attest/case.ts'
import { NONCE } from '../attest/evidence.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'

const skip = SKIP_WITHOUT_SHARED_DATA

type Evidence = AppraisalInput & { readonly ek: Buffer; readonly imaLog: Buffer; readonly eventLog: Buffer }

function evidence(): Evidence {
  const file = (name: string) => readFileSync(sharedData(`qemu-ovmf/secure-boot/${name}`))
  return {
    policy: parsePolicy(learnPolicy({ name: 'learned', eventLog: file('eventlog.bin') })),
    ak: { public: file('ak.pub') },
    ek: file('ek.pub'),
    enrolment: 'enrolled',
    quote: file('quote.msg'),
    signature: file('quote.sig'),
    nonce: NONCE,
    eventLog: file('eventlog.bin'),
    imaLog: file('ima.bin'),
  }
}

const BITS = [1, 2, 4, 8, 16, 32, 64, 128]

/** Every byte of `bytes` changed, with each of `masks`. */
function* changes(bytes: Uint8Array, masks: (index: number) => readonly number[]) {
  for (let index = 0; index < bytes.byteLength; index++) {
    for (const mask of masks(index)) {
      const changed = Buffer.from(bytes)
      changed.writeUInt8(changed.readUInt8(index) ^ mask, index)
      yield { index, mask, changed }
    }
  }
}

/** The verdict, or `undefined` where the evidence was refused as undecodable, with a code. */
function appraiseOrRefuse(input: AppraisalInput): Appraisal | undefined {
  try {
    return appraise(input)
  } catch (error) {
    if (isTouchstoneError(error)) return undefined
    throw error
  }
}

const statements: Readonly<Record<string, (input: AppraisalInput, changed: Buffer) => AppraisalInput>> = {
  quote: (input, quote) => ({ ...input, quote }),
  signature: (input, signature) => ({ ...input, signature }),
  'public area of the AK': (input, changed) => ({ ...input, ak: { public: changed } }),
  'public area of the EK': (input, ek) => ({ ...input, ek }),
}
for (const [what, change] of Object.entries(statements)) {
  test(`no changed byte of the ${what} passes`, { skip }, () => {
    const input = evidence()
    const { public: ak } = input.ak as { public: Buffer }
    const bytes = { quote: input.quote, signature: input.signature, 'public area of the AK': ak }[what] ?? input.ek
    for (const { index, mask, changed } of changes(bytes, (at) =>
      bytes === input.ek ? [1 << (at % 8)] : [...BITS, 255],
    )) {
      const status = appraiseOrRefuse(change(input, changed))?.status
      assert.ok(status === undefined || status === 'contraindicated', `byte ${index} ^ ${mask}: ${status}`)
    }
  })
}

interface Said {
  readonly status: string
  readonly vector: unknown
  readonly facts: unknown
}

function said({ status, vector, facts }: Appraisal): Said {
  return { status, vector, facts }
}

/** What rules may believe of a boot. */
function believed(log: Buffer): unknown {
  const { boot } = describeEventLog(log)
  return boot === null ? null : boundClaims(boot)
}

/** Whether a byte of an event log lies where a quote of SHA-256 PCRs cannot reach. */
function unreachable(log: Buffer, index: number): boolean {
  const events = parseEventLog(log).events
  const described = describeEventLog(log).events
  const at = events.findLastIndex(({ offset }) => offset <= index)
  const event = events[at]
  assert.ok(event)
  if (eventTypeName(event.type) === 'EV_NO_ACTION') return true
  const within = index - event.offset
  const sha1 = [4 + 4 + 4, 4 + 4 + 4 + 2 + 20] as const
  if (within >= sha1[0] && within < sha1[1]) return true
  const payload = sha1[1] + 2 + 32 + 4
  return described[at]?.binding === 'unbound' && ((within >= 4 && within < 8) || within >= payload)
}

// One bit a byte, another one in each. All bits of all bytes take nine minutes; they were run by hand, and nothing passed.
const policies = {
  'the policy learned from it': { policy: () => evidence().policy, masks: (at: number) => [BITS[at % 8] ?? 1] },
  // Every fifth byte: what is found here is found by structure and replay, which the first run tries everywhere.
  'a policy of one rule': {
    policy: () => policyOf('  pcrs: sha256:0-15\n  firmware: { version: { anyOf: ["0000"] } }'),
    masks: (at: number) => (at % 5 === 0 ? [BITS[(at / 5) % 8] ?? 1] : []),
  },
}
for (const [which, { policy, masks }] of Object.entries(policies)) {
  test(
    `a changed byte of the event log fails under ${which}, or the quote cannot reach it and nothing differs`,
    {
      skip,
    },
    () => {
      const input = { ...evidence(), policy: policy() }
      const { eventLog } = input
      const good = appraise(input)
      const boot = believed(eventLog)
      let passed = 0
      for (const { index, mask, changed } of changes(eventLog, masks)) {
        const appraisal = appraiseOrRefuse({ ...input, eventLog: changed })
        if (appraisal === undefined || appraisal.status === 'contraindicated') continue
        assert.deepEqual(said(appraisal), said(good), `byte ${index} ^ ${mask}`)
        assert.deepEqual(believed(changed), boot, `byte ${index} ^ ${mask}`)
        assert.ok(unreachable(eventLog, index), `byte ${index} ^ ${mask} passed`)
        passed += 1
      }
      assert.ok(passed > 0)
    },
  )
}

test(
  'a changed byte of the IMA log fails, or no digest of the judged bank covers it and nothing differs',
  { skip },
  () => {
    const input = evidence()
    const good = appraise(input)
    for (const { index, mask, changed } of changes(input.imaLog, () => BITS)) {
      const appraisal = appraiseOrRefuse({ ...input, imaLog: changed })
      if (appraisal === undefined || appraisal.status === 'contraindicated') continue
      assert.deepEqual(said(appraisal), said(good), `byte ${index} ^ ${mask}`)
      assert.deepEqual(appraisal.ima, good.ima)
    }
  },
)
