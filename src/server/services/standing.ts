import type { GuestBinding, NodeRecord, Repositories } from '../../store/index.ts'
import { Refusal } from '../http/refusal.ts'
import type { Settings } from './deps.ts'

export interface Claimant {
  readonly ekSha256: string
  readonly model: string
  readonly serial: string
  readonly akName: string
  /** Not known in the first round. */
  readonly deviceKeyName?: string
  /** Present for a guest, which is known by its UUID and not by the model and serial that it claims. */
  readonly guest?: GuestBinding | undefined
}

/**
 * How a claimant stands to what is enrolled. `new`: nobody has this EK; `holder` is a node that has this model and
 * serial by another EK. `resume`: the same EK, AK and device key again, which is always answered. `rebind`: a known EK
 * with other keys.
 */
export type Standing =
  | { readonly kind: 'new'; readonly holder: NodeRecord | undefined }
  | { readonly kind: 'resume' | 'rebind'; readonly node: NodeRecord }

/** Throws where no policy could help: a suspended node, a TPM that changed its name, an identity that is taken. */
export async function standingOf(
  { nodes }: Pick<Repositories, 'nodes'>,
  claimant: Claimant,
  { admission }: Pick<Settings, 'admission'>,
): Promise<Standing> {
  const { ekSha256, model, serial, akName, deviceKeyName, guest } = claimant
  const node = await nodes.byEk(ekSha256)
  if (node === undefined && guest !== undefined) return { kind: 'new', holder: undefined }
  if (node === undefined) {
    const holder = await nodes.byIdentity(model, serial)
    // In approval mode an operator looks at it; everywhere else the first one to come keeps its name.
    if (holder !== undefined && admission !== 'approval') throw new Refusal('onboarding.identity_claimed')
    return { kind: 'new', holder }
  }
  if (node.status === 'suspended') throw new Refusal('node.suspended')
  if (node.guest?.guestId !== guest?.guestId) throw new Refusal('onboarding.identity_changed')
  if (guest === undefined && (node.model !== model || node.serial !== serial)) {
    throw new Refusal('onboarding.identity_changed')
  }
  const isSame =
    node.ekSha256 === ekSha256 &&
    node.akName === akName &&
    (deviceKeyName === undefined || node.deviceKeyName === deviceKeyName)
  return { kind: isSame ? 'resume' : 'rebind', node }
}

/**
 * Whether other keys may replace those of the node. A node that waits for its first approval is bound to nothing yet.
 * `wait`: an operator must say.
 */
export function rebinding(
  node: NodeRecord,
  { akName, deviceKeyName }: Claimant,
  { reEnrolment }: Pick<Settings, 'reEnrolment'>,
): 'allow' | 'wait' {
  if (node.status === 'pending' || reEnrolment === 'allow') return 'allow'
  if (reEnrolment === 'refuse') throw new Refusal('onboarding.re_enrolment')
  const asked = node.reEnrolment
  const isApproved = asked?.approved !== undefined && asked.akName === akName && asked.deviceKeyName === deviceKeyName
  return isApproved ? 'allow' : 'wait'
}
