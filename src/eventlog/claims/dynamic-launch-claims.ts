import { eventTypeName } from '../event-types.ts'
import type { DynamicLaunchClaims } from './boot-claims.ts'
import { known, said, unknown } from './claim.ts'
import { digestClaim, indicesOf } from './digest-claim.ts'
import { listIn, measurementsOf, type Reading } from './reading.ts'

/** PCR 17 to 22 hold ones until a dynamic launch, and only code of the launch may extend 17 and 18 first. */
const LAUNCH_PCRS = [17, 18, 19, 20, 21, 22]
const MLE = 'MLE_HASH'

/** A dynamic launch: Intel TXT Software Development Guide appendix G, Linux Secure Launch. */
export function dynamicLaunchClaims(reading: Reading): DynamicLaunchClaims {
  if (reading.kind === 'rtmr') {
    const none = unknown('a confidential guest has no registers for a dynamic launch')
    return { launched: none, measurements: none, untrustedMle: none }
  }
  const events = measurementsOf(reading, ...LAUNCH_PCRS)
  const launch = measurementsOf(reading, 17, 18)
  const mle = events.find(({ event }) => eventTypeName(event.type, event.pcr).endsWith(MLE))
  return {
    launched:
      launch.length === 0
        ? unknown('the log has no measurement of PCR 17 and 18; the log of a dynamic launch may be another')
        : known(true, indicesOf(launch)),
    measurements: listIn(
      reading,
      LAUNCH_PCRS,
      events.map((each) => ({ pcr: each.event.pcr, ...digestClaim(each) })),
      indicesOf(events),
    ),
    untrustedMle:
      mle === undefined
        ? unknown('the log names no measurement that is the launched environment’s')
        : said(digestClaim(mle), [mle.event.index]),
  }
}
