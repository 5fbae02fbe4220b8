import { EV_NO_ACTION } from '../event-types.ts'
import type { EventLog } from '../log.ts'
import { decodeNoAction } from '../payload/no-action.ts'
import { printable } from '../payload/text.ts'
import { said, unknown, type Claim } from './claim.ts'

/**
 * What the first SP800-155 event names. It is never measured, so this is what the log says and no more. PC Client
 * Platform Firmware Profile 1.06 section 10.4.5.
 */
export function platformNames(log: EventLog): Claim<Readonly<Record<string, string>>> {
  for (const { type, data, index } of log.events) {
    if (type !== EV_NO_ACTION) continue
    const event = decodeNoAction(data)
    if (event?.signature.startsWith('SP800-155') !== true) continue
    const fields = Object.entries(event.fields).map(([name, value]) => [name, printable(value)] as const)
    return said(Object.fromEntries(fields), [index])
  }
  return unknown('the log has no SP800-155 event')
}
