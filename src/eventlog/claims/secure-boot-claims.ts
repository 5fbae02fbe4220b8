import type { AuthorityFact, CertificateFact, KeyDatabaseFact } from '../facts/boot-facts.ts'
import { SHIM_LOCK } from '../payload/guid.ts'
import { labelText } from '../payload/text.ts'
import { isShimVariable } from '../variables.ts'
import type { AuthorityClaim, KeyDatabaseClaim, SecureBootClaims, ShimClaims } from './boot-claims.ts'
import { known, listedAsSaid, MAX_ITEMS, unknown, type Claim } from './claim.ts'
import { digestClaim, indicesOf } from './digest-claim.ts'
import { claimOf, gapIn, listIn, measurementsOf, missing, type Reading } from './reading.ts'

const PCR = [7]
/** Longer names of variables exist nowhere. */
const MAX_LABEL = 64

export function secureBootClaims(reading: Reading): SecureBootClaims {
  const { secureBoot } = reading.facts
  const { pk, kek, db, dbx, dbt, dbr } = secureBoot
  const own = secureBoot.authorities.filter((authority) => !isOfShim(authority))
  const database = (name: string, fact: KeyDatabaseFact | undefined): Claim<KeyDatabaseClaim> =>
    claimOf(
      fact,
      (each) => databaseClaim(name, each),
      () => notMeasured(reading, name),
    )
  const mode = (name: string, value: boolean | undefined, more: readonly string[] = []): Claim<boolean> =>
    value === undefined ? notMeasured(reading, name) : known(value, variablesOf(reading, [name, ...more]))
  return {
    enabled: enabledClaim(reading),
    setupMode: mode('SetupMode', secureBoot.setupMode, ['PK']),
    auditMode: mode('AuditMode', secureBoot.auditMode),
    deployedMode: mode('DeployedMode', secureBoot.deployedMode),
    pk: database('PK', pk),
    kek: database('KEK', kek),
    db: database('db', db),
    dbx: database('dbx', dbx),
    dbt: database('dbt', dbt),
    dbr: database('dbr', dbr),
    dbxNewestRevocation: revocationClaim(reading, dbx),
    authorities: listIn(reading, PCR, own.map(authorityClaim), eventsOf(own), gapIn(reading, PCR)),
    authoritiesInDb: inDbClaim(reading),
  }
}

function enabledClaim(reading: Reading): Claim<boolean> {
  const { enabled, doubts } = reading.facts.secureBoot
  if (enabled === undefined) {
    const { reason, events } = missing(reading, PCR, doubts.join('; '))
    return unknown(reason, [...new Set([...variablesOf(reading, ['SecureBoot']), ...events])])
  }
  return known(enabled, variablesOf(reading, enabled ? ['SecureBoot', 'PK', 'KEK', 'db'] : ['SecureBoot']))
}

function notMeasured(reading: Reading, name: string): ReturnType<typeof unknown> {
  return missing(reading, PCR, `${name} was not measured as configuration of Secure Boot`)
}

/** The first configuration variable of each of these names that there is. */
function variablesOf(reading: Reading, names: readonly string[]): number[] {
  const found = new Map<string, number>()
  for (const { event, content } of measurementsOf(reading, ...PCR)) {
    if (content?.kind === 'separator') break
    if (content?.kind !== 'variable' || content.covers !== 'all') continue
    const { name, vendor } = content.variable
    if (names.includes(name) && vendor !== SHIM_LOCK && !found.has(name)) found.set(name, event.index)
  }
  return [...found.values()]
}

function databaseClaim(name: string, fact: KeyDatabaseFact): Claim<KeyDatabaseClaim> {
  const { digest, size, certificates, hashes, event } = fact
  if (certificates === undefined || hashes === undefined) {
    return unknown(`${name} is no chain of signature lists`, [event.index])
  }
  if (certificates.length > MAX_ITEMS || hashes.length > MAX_ITEMS * 4) {
    return unknown(`${name} has ${certificates.length + hashes.length} entries, more than any real one`, [event.index])
  }
  return known({ digest, size, certificates, hashes, hashCount: hashes.length, event: event.index }, [event.index])
}

function revocationClaim(reading: Reading, dbx: KeyDatabaseFact | undefined): Claim<string> {
  if (dbx === undefined) return notMeasured(reading, 'dbx')
  return dbx.newestRevocation === undefined
    ? unknown('no entry of dbx has a time: hashes of images carry none', [dbx.event.index])
    : known(dbx.newestRevocation, [dbx.event.index])
}

function inDbClaim(reading: Reading): Claim<boolean> {
  const found = reading.facts.secureBoot.authorities.filter(({ inDb }) => inDb !== undefined)
  const gap = gapIn(reading, PCR)
  if (gap !== undefined) return unknown(gap.reason, gap.events)
  if (found.length === 0) return missing(reading, PCR, 'the firmware measured no authority of db')
  const outside = found.filter(({ inDb }) => inDb === false)
  return known(outside.length === 0, eventsOf(outside.length === 0 ? found : outside))
}

export function authorityClaim({ name, vendor, digest, certificate, event }: AuthorityFact): AuthorityClaim {
  return { name, vendor, digest, ...(certificate === undefined ? {} : { certificate }), event: event.index }
}

function eventsOf(facts: readonly { readonly event: { readonly index: number } }[]): number[] {
  return facts.map(({ event }) => event.index)
}

/** Shim measures its vendor's database under the GUID of the firmware's, and its own name. */
export function isOfShim({ name, vendor }: Pick<AuthorityFact, 'name' | 'vendor'>): boolean {
  return vendor === SHIM_LOCK || isShimVariable(name)
}

/** How people know an authority: the subject of its certificate, else its digest. */
export function authorityName({
  name,
  certificate,
  digest,
}: Pick<AuthorityFact, 'name' | 'digest'> & {
  readonly certificate?: CertificateFact
}): string {
  return `${name}: ${certificate?.subject ?? digest}`
}

export function shimClaims(reading: Reading): ShimClaims {
  const { shim, secureBoot } = reading.facts
  const own = secureBoot.authorities.filter(isOfShim)
  const lists = measurementsOf(reading, 14).filter(({ content, event }) => {
    return content === undefined && isShimVariable(labelText(event.data, MAX_LABEL) ?? '')
  })
  return {
    sbatLevel: claimOf(
      shim.sbatLevel,
      ({ text, event }) => known(text, [event.index]),
      () => missing(reading, PCR, 'shim measured no SbatLevel'),
    ),
    mokListTrusted: claimOf(
      shim.mokListTrusted,
      ({ value, event }) => known(value, [event.index]),
      () => missing(reading, PCR, 'shim measured no MokListTrusted'),
    ),
    validation: validationClaim(reading),
    authorities: listIn(reading, PCR, own.map(authorityClaim), eventsOf(own), gapIn(reading, PCR)),
    untrustedOwnerLists:
      lists.length === 0
        ? missing(reading, [14], 'the log names no list of the machine’s owner')
        : listedAsSaid(lists.map(digestClaim), indicesOf(lists)),
  }
}

/** MokSBState, which shim measures only where somebody set it: shim, MokVars.txt. */
function validationClaim(reading: Reading): Claim<boolean> {
  for (const { event, content } of measurementsOf(reading, ...PCR)) {
    if (content?.kind !== 'variable' || content.covers !== 'all') continue
    const { vendor, name, value } = content.variable
    if (vendor !== SHIM_LOCK || name !== 'MokSBState' || value.byteLength !== 1) continue
    const gap = gapIn(reading, PCR)
    return gap === undefined ? known(value[0] === 0, [event.index]) : unknown(gap.reason, gap.events)
  }
  return missing(reading, PCR, 'MokSBState was not measured: shim measures it only where somebody set it')
}
