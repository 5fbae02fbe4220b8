import { toRfc3339 } from '../core/index.ts'
import type { Check } from '../core/index.ts'
import type { LinkedEvidence } from '../wire/index.ts'
import type { KnownHost } from './known-host.ts'
import { checkLink } from './linked-evidence.ts'
import { fail, indeterminate, judge, pass, warn } from './outcome.ts'
import type { Policy } from './policy.ts'

/** Which node a guest may run on. */
export interface KnownPlacement {
  readonly nodeId: string
  /** The highest generation that was seen or granted. */
  readonly generation: number
  /** SHA-256 of the SubjectPublicKeyInfo of the EK that was certified for the guest, hex. */
  readonly ekSha256: string | undefined
}

/** What a guest's evidence is judged by beyond its own policy. All of it is pinned in the verdict's inputs. */
export interface GuestContext {
  /** UUID. */
  readonly guest: string
  /** As enrolled. */
  readonly ekSha256: string
  readonly ekName: Uint8Array
  /** The node that it enrolled on. */
  readonly boundTo: string
  /** Where it may run now; `undefined` where nobody says so any more. */
  readonly placement: KnownPlacement | undefined
  /** The node that it is placed on. */
  readonly host: KnownHost | undefined
  readonly link: LinkedEvidence | undefined
  /** The node that the link names. */
  readonly linkHost: KnownHost | undefined
  /** Milliseconds since the Unix epoch. */
  readonly now: number
  /** Milliseconds that a host's verdict is good for by itself, and beside a link that shows the host unchanged. */
  readonly maxHostAge: number
  readonly maxLinkedHostAge: number
}

/**
 * A guest is no better than what it runs on: `guest.*` asks of its placement and its host, `link.*` of the proof that it
 * runs there. `evidence` is the guest's own quote and its signature.
 */
export function checkGuest(
  context: GuestContext,
  policy: Policy,
  evidence: { readonly quote: Uint8Array; readonly signature: Uint8Array },
): Check[] {
  const { link, host, placement } = context
  const linked =
    link === undefined
      ? []
      : checkLink({
          link,
          guest: context.guest,
          ekName: context.ekName,
          quote: evidence.quote,
          signature: evidence.signature,
          placedOn: placement?.nodeId,
          generation: placement?.generation ?? 0,
          host: context.linkHost,
        })
  const isLinked = link !== undefined && linked.every(({ outcome }) => outcome === 'pass')
  return [
    checkPlacement(context),
    checkActive(host),
    checkBoot(host),
    checkFresh(context, isLinked),
    checkVerdict(host),
    checkPresent(policy, link),
    ...linked,
  ]
}

/** What must still be so of placement and host for what was said of the guest to be said again. */
export function checkHosting(context: Pick<GuestContext, 'placement' | 'boundTo' | 'ekSha256' | 'host'>): Check[] {
  const { host } = context
  return [checkPlacement(context), checkActive(host), checkBoot(host), checkVerdict(host)]
}

/** `guest.placement` */
function checkPlacement({
  placement,
  boundTo,
  ekSha256,
}: Pick<GuestContext, 'placement' | 'boundTo' | 'ekSha256'>): Check {
  const name = 'guest.placement'
  if (placement === undefined) return fail(name, 'guest.not_placed', { expected: boundTo })
  if (placement.ekSha256 !== ekSha256) {
    return fail(name, 'guest.other_ek', { expected: placement.ekSha256 ?? 'none certified', actual: ekSha256 })
  }
  return judge(placement.nodeId === boundTo, name, 'guest.moved', { expected: placement.nodeId, actual: boundTo })
}

/** `guest.host-active` */
function checkActive(host: KnownHost | undefined): Check {
  const name = 'guest.host-active'
  if (host === undefined) return blocked(name)
  return judge(host.status === 'active', name, 'guest.host_not_active', { expected: 'active', actual: host.status })
}

/** `guest.host-boot`: the verdict speaks of the boot that the host was last seen in, and of the AK that it has. */
function checkBoot(host: KnownHost | undefined): Check {
  const name = 'guest.host-boot'
  if (host === undefined) return blocked(name)
  const { verdict, resetCount, akName } = host
  if (verdict === undefined) return fail(name, 'guest.host_no_verdict')
  const detail = {
    expected: { resetCount: resetCount ?? null, akName },
    actual: { resetCount: verdict.resetCount, akName: verdict.akName },
  }
  const isCurrent = verdict.resetCount === resetCount && verdict.akName === akName
  return judge(isCurrent, name, 'guest.host_other_boot', detail)
}

/** `guest.host-fresh`: a link that shows the host as it was then makes its verdict last longer. */
function checkFresh({ host, now, maxHostAge, maxLinkedHostAge }: GuestContext, isLinked: boolean): Check {
  const name = 'guest.host-fresh'
  if (host === undefined) return blocked(name)
  const { verdict } = host
  if (verdict === undefined) return fail(name, 'guest.host_no_verdict')
  const age = now - verdict.freshFrom
  const allowed = isLinked ? Math.max(maxHostAge, maxLinkedHostAge) : maxHostAge
  const detail = { expected: `at most ${Math.round(allowed / 1000)} s old`, actual: toRfc3339(verdict.freshFrom) }
  // A verdict from the future is a clock that jumped: as useless as an old one.
  return judge(age >= 0 && age <= allowed, name, 'guest.host_stale', detail)
}

/** `guest.host-verdict`: never better than the host's. */
function checkVerdict(host: KnownHost | undefined): Check {
  const name = 'guest.host-verdict'
  if (host === undefined) return blocked(name)
  const { verdict } = host
  if (verdict === undefined) return fail(name, 'guest.host_no_verdict')
  const detail = { expected: 'affirming', actual: { status: verdict.status, attestation: verdict.id } }
  if (verdict.status === 'affirming') return pass(name, detail)
  return verdict.status === 'warning'
    ? warn(name, 'guest.host_warning', detail)
    : fail(name, 'guest.host_untrusted', detail)
}

/** `link.present` */
function checkPresent(policy: Policy, link: LinkedEvidence | undefined): Check {
  const expected = policy.guest?.link ?? 'optional'
  const detail = { expected, actual: link === undefined ? 'absent' : 'present' }
  return judge(link !== undefined || expected === 'optional', 'link.present', 'link.missing', detail)
}

function blocked(name: string): Check {
  return indeterminate(name, 'check.blocked', { actual: 'the guest is placed nowhere' })
}
