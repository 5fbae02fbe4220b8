import { hash } from 'node:crypto'
import { toHex } from '../../core/index.ts'
import type { AnnotatedEvent } from '../annotate.ts'
import { EV_EFI_VARIABLE_AUTHORITY } from '../event-types.ts'
import type { RegisterKind } from '../log.ts'
import { certificateNames } from '../payload/certificate-names.ts'
import {
  contentOf,
  decodeSignatureData,
  decodeSignatureLists,
  isSignatureLists,
  looksLikeCertificate,
  ownerOf,
  revocationTimeOf,
} from '../payload/signature-list.ts'
import type { EfiVariable } from '../payload/variable.ts'
import { registerOf } from '../registers.ts'
import { rememberContent } from '../remembered-content.ts'
import { boundRef } from '../summary.ts'
import { databaseText } from '../payload/variable-value.ts'
import { SECURE_BOOT_VARIABLES } from '../variables.ts'
import { SHIM_LOCK } from '../payload/guid.ts'
import type { AuthorityFact, CertificateFact, KeyDatabaseFact, SecureBootFacts, ShimFacts } from './boot-facts.ts'
import { isMarker } from './unread.ts'

interface Measured {
  readonly annotated: AnnotatedEvent
  readonly variable: EfiVariable
}

interface SecureBootReading {
  readonly secureBoot: SecureBootFacts
  readonly shim: ShimFacts
  /** Events of PCR 7 that are no variable, no separator and no known action. */
  readonly unread: readonly AnnotatedEvent[]
}

/**
 * Secure Boot as PCR 7 proves it: variables by vendor and name, the first of each, before the separator; then what
 * verified images, and shim's own variables. PC Client Platform Firmware Profile 1.06 section 3.3.4.8.
 *
 * What stands behind the separator, anybody may have added, so place and form decide what a variable is and the type of
 * its event does not. An event that is not read may be a variable that was made unreadable: with one, nothing is known but that Secure
 * Boot is off.
 */
export function secureBootFacts(events: readonly AnnotatedEvent[], kind: RegisterKind): SecureBootReading {
  const register = registerOf(kind, 7)
  const configuration = new Map<string, Measured>()
  const authorities: Measured[] = []
  const variables: Measured[] = []
  const unread: AnnotatedEvent[] = []
  let separated = false
  for (const annotated of events) {
    const { event, content } = annotated
    if (event.pcr !== register) continue
    if (content?.kind === 'separator') separated = true
    if (isMarker(annotated)) continue
    if (content?.kind !== 'variable' || content.covers !== 'all') {
      unread.push(annotated)
      continue
    }
    const { variable } = content
    const measured = { annotated, variable }
    variables.push(measured)
    const expected = SECURE_BOOT_VARIABLES.get(variable.name)
    const isKnown = expected?.vendor === variable.vendor
    const isAuthority = isKnown
      ? expected.authority && isAuthorityValue(variable.value)
      : event.type === EV_EFI_VARIABLE_AUTHORITY
    if (separated || isAuthority) authorities.push(measured)
    else if (isKnown && !configuration.has(variable.name)) configuration.set(variable.name, measured)
  }
  const secureBoot = assemble(configuration, authorities)
  // Other registers share the RTMR, and what they measure is not read here.
  if (kind === 'rtmr') return { secureBoot, shim: shimFacts(variables), unread: [] }
  if (unread.length === 0) return { secureBoot, shim: shimFacts(variables), unread }
  const places = unread.map(({ event }) => event.index).join(', ')
  const doubt = `PCR ${register} has events that are neither variables nor known actions: ${places}`
  return {
    secureBoot: {
      ...(secureBoot.enabled === false ? { enabled: false } : {}),
      doubts: [...secureBoot.doubts, doubt],
      authorities: secureBoot.authorities,
    },
    shim: {},
    unread,
  }
}

/**
 * Whether a value is one entry of a database and not a database: an owner, and a certificate or a hash of a size that
 * there is. The type of the event would say so too, but anybody could have changed it.
 */
function isAuthorityValue(value: Buffer): boolean {
  if (isSignatureLists(value)) return false
  return (
    decodeSignatureData(value)?.kind === 'x509' || looksLikeCertificate(value) || HASH_ENTRIES.has(value.byteLength)
  )
}

/** SHA-1, 256, 384 and 512 behind the GUID of their owner. */
const HASH_ENTRIES: ReadonlySet<number> = new Set([20, 32, 48, 64].map((size) => 16 + size))

function shimFacts(variables: readonly Measured[]): ShimFacts {
  let sbatLevel: ShimFacts['sbatLevel']
  let mokListTrusted: ShimFacts['mokListTrusted']
  for (const { annotated, variable } of variables) {
    const { vendor, name, value } = variable
    if (vendor !== SHIM_LOCK) continue
    if (name === 'SbatLevel') sbatLevel ??= { text: value.toString('utf8'), event: boundRef(annotated) }
    if (name === 'MokListTrusted' && value.byteLength === 1 && (value[0] === 0 || value[0] === 1)) {
      mokListTrusted ??= { value: value[0] === 1, event: boundRef(annotated) }
    }
  }
  return {
    ...(sbatLevel === undefined ? {} : { sbatLevel }),
    ...(mokListTrusted === undefined ? {} : { mokListTrusted }),
  }
}

const DATABASES = ['PK', 'KEK', 'db', 'dbx', 'dbt', 'dbr'] as const

function assemble(configuration: ReadonlyMap<string, Measured>, found: readonly Measured[]): SecureBootFacts {
  const databases = new Map<string, KeyDatabaseFact>()
  for (const name of DATABASES) {
    const measured = configuration.get(name)
    if (measured !== undefined) databases.set(name, databaseFact(measured))
  }
  const measuredDb = configuration.get('db')
  const dbEntries = measuredDb && entriesOf(measuredDb.annotated, () => readEntries(measuredDb.variable))
  const authorities = found
    .filter(({ variable }) => !isShimSetting(variable))
    .map((each) => authorityFact(each, dbEntries))
  const value = booleanOf(configuration.get('SecureBoot'))
  const doubts = value === false ? [] : [...doubtsOf(configuration, value, authorities), ...shimDoubts(found)]
  const enabled = value === false ? false : doubts.length === 0 ? true : undefined
  const setupMode = booleanOf(configuration.get('SetupMode')) ?? databases.get('PK')?.empty
  const auditMode = booleanOf(configuration.get('AuditMode'))
  const deployedMode = booleanOf(configuration.get('DeployedMode'))
  const [pk, kek, db, dbx, dbt, dbr] = DATABASES.map((name) => databases.get(name))
  return {
    ...(enabled === undefined ? {} : { enabled }),
    doubts,
    ...(setupMode === undefined ? {} : { setupMode }),
    ...(auditMode === undefined ? {} : { auditMode }),
    ...(deployedMode === undefined ? {} : { deployedMode }),
    ...(pk === undefined ? {} : { pk }),
    ...(kek === undefined ? {} : { kek }),
    ...(db === undefined ? {} : { db }),
    ...(dbx === undefined ? {} : { dbx }),
    ...(dbt === undefined ? {} : { dbt }),
    ...(dbr === undefined ? {} : { dbr }),
    authorities,
  }
}

/** Exactly one byte, 0 or 1; everything else (an unset variable has no bytes) is unknown. */
function booleanOf(measured: Measured | undefined): boolean | undefined {
  const value = measured?.variable.value
  if (value?.byteLength !== 1) return undefined
  return value[0] === 1 ? true : value[0] === 0 ? false : undefined
}

function doubtsOf(
  configuration: ReadonlyMap<string, Measured>,
  value: boolean | undefined,
  authorities: readonly AuthorityFact[],
): string[] {
  const doubts: string[] = []
  if (value === undefined) {
    const measured = configuration.get('SecureBoot')
    doubts.push(measured === undefined ? 'SecureBoot was not measured' : 'SecureBoot is neither 0 nor 1')
  }
  for (const name of ['PK', 'KEK', 'db']) {
    const measured = configuration.get(name)
    if (measured === undefined) doubts.push(`${name} was not measured`)
    else if (measured.variable.value.byteLength === 0) doubts.push(`${name} is empty`)
  }
  for (const { name, inDb, event } of authorities) {
    if (name === 'db' && inDb !== true) doubts.push(`the authority of event ${event.index} is not in db`)
  }
  return doubts
}

/** MokSBState other than 0: shim verifies nothing, whatever the firmware does (shim, MokVars.txt). */
function shimDoubts(found: readonly Measured[]): string[] {
  return found
    .filter(({ variable: { vendor, name, value } }) => {
      return vendor === SHIM_LOCK && name === 'MokSBState' && !(value.byteLength === 1 && value[0] === 0)
    })
    .map(({ annotated }) => `shim's validation is switched off (MokSBState, event ${annotated.event.index})`)
}

function databaseFact({ annotated, variable }: Measured): KeyDatabaseFact {
  const size = variable.value.byteLength
  const { lists, summary } = databaseContent(annotated, () => readDatabase(variable))
  return {
    digest: toHex(annotated.digest ?? Buffer.alloc(0)),
    size,
    empty: size === 0,
    ...lists,
    event: boundRef(annotated, summary),
  }
}

interface DatabaseContent {
  readonly lists: Pick<KeyDatabaseFact, 'certificates' | 'hashes' | 'newestRevocation'>
  readonly summary?: string
}

const databaseContent = rememberContent<DatabaseContent>(8 * 1024 * 1024)

function readDatabase({ name, value }: EfiVariable): DatabaseContent {
  const entries = decodeSignatureLists(value)
  if (entries === undefined) return { lists: {} }
  if (value.byteLength === 0) return { lists: { certificates: [], hashes: [] } }
  const certificates = entries
    .filter(({ kind }) => kind === 'x509')
    .map((entry) => certificateFact(ownerOf(entry), contentOf(entry)))
  const hashes = entries.filter(({ kind }) => kind === 'hash').map((entry) => toHex(contentOf(entry)))
  const subjects = certificates.map(({ subject }) => subject)
  const times = entries.map(revocationTimeOf).filter((time) => time !== undefined)
  const newestRevocation = times.reduce<string | undefined>((a, b) => (a === undefined || a < b ? b : a), undefined)
  return {
    lists: { certificates, hashes, ...(newestRevocation === undefined ? {} : { newestRevocation }) },
    summary: `${name}: ${databaseText(subjects, entries.length - subjects.length)}`,
  }
}

const entriesOf = rememberContent<ReadonlySet<string>>(2 * 1024 * 1024)

/** The entries of a database as binary strings. */
function readEntries({ value }: EfiVariable): ReadonlySet<string> {
  return new Set(decodeSignatureLists(value)?.map(({ bytes }) => bytes.toString('latin1')))
}

/** What shim measures of itself the same way; everything else there verified an image: a certificate, or a bare hash. */
const SHIM_SETTINGS: ReadonlySet<string> = new Set([
  'SbatLevel',
  'MokListTrusted',
  'MokSBState',
  'MokDBState',
  'MokIgnoreDB',
  'MokPolicy',
])

function isShimSetting({ name, vendor }: EfiVariable): boolean {
  return vendor === SHIM_LOCK && SHIM_SETTINGS.has(name)
}

function authorityFact({ annotated, variable }: Measured, dbEntries: ReadonlySet<string> | undefined): AuthorityFact {
  const { name, vendor, value } = variable
  const isDb = name === 'db' && SECURE_BOOT_VARIABLES.get('db')?.vendor === vendor
  const certificate = authorityCertificate(annotated, () => readAuthority(value))
  return {
    name,
    vendor,
    digest: toHex(annotated.digest ?? Buffer.alloc(0)),
    ...(certificate === undefined ? {} : { certificate }),
    ...(isDb ? { inDb: dbEntries?.has(value.toString('latin1')) === true } : {}),
    event: boundRef(annotated),
  }
}

const authorityCertificate = rememberContent<CertificateFact | undefined>(1024 * 1024)

function readAuthority(value: Buffer): CertificateFact | undefined {
  // Old shims measured the certificate alone, without an owner before it.
  if (looksLikeCertificate(value)) return certificateFact(NO_OWNER, value)
  const entry = decodeSignatureData(value)
  return entry?.kind === 'x509' ? certificateFact(ownerOf(entry), contentOf(entry)) : undefined
}

const NO_OWNER = '00000000-0000-0000-0000-000000000000'

function certificateFact(owner: string, der: Buffer): CertificateFact {
  return { fingerprint: hash('sha256', der, 'hex'), owner, ...certificateNames(der) }
}
