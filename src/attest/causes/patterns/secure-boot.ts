import type { ChangeKind } from '../../../eventlog/index.ts'
import type { Difference } from '../difference.ts'
import { named, plural, summaries } from '../pattern.ts'
import type { Pattern, Sight } from '../pattern.ts'

// PCR 7, and PCR 14 for shim: whether images are verified, and by what.

function isNow(value: string): (difference: Difference) => boolean {
  return ({ fields, change, after }) =>
    fields.some((field) => field.name === 'value' && field.after === value) ||
    (change === 'added' && after?.summary.endsWith(`: ${value}`) === true)
}

function flag(name: string, value: string): Sight {
  return {
    what: `the variable ${name}, now ${value}`,
    registers: [7],
    kinds: ['variable'],
    stages: ['firmware'],
    subject: new RegExp(`^${name}$`),
    bound: true,
    where: isNow(value),
  }
}

/** A key database, as the firmware measured it before its separator. */
function database(name: string, what: string, where?: Sight['where']): Sight {
  return {
    what,
    registers: [7],
    stages: ['firmware'],
    subject: new RegExp(`^(?:${name})$`),
    bound: true,
    ...(where === undefined ? {} : { where }),
  }
}

const lost = ({ removed, change }: Difference): boolean => removed.length > 0 || change === 'removed'
const grew = ({ added, removed, change }: Difference): boolean =>
  added.length > 0 && removed.length === 0 && change === 'changed'

function authorities(changes: readonly ChangeKind[]): Sight {
  return {
    what: 'what images were verified with',
    registers: [7],
    stages: ['boot-manager', 'boot-loader', 'operating-system'],
    changes,
    subject: /^(?:db|MokList|MokListRT|Shim|vendor_db)$/,
  }
}

/** Without Secure Boot nobody verifies images, so fewer are measured, and shim falls back to its own list. */
const CONSEQUENCES: readonly Sight[] = [
  authorities(['removed']),
  { what: 'SbatLevel', registers: [7], subject: /^SbatLevel/ },
  { what: 'images that are gone', registers: [4], kinds: ['image'], changes: ['removed'] },
]

function entries(differences: readonly Difference[] | undefined, side: 'added' | 'removed'): string {
  const all = (differences ?? []).flatMap((difference) => difference[side])
  const certificates = all.filter((name) => !/^[0-9a-f]+$/.test(name))
  const hashes = all.length - certificates.length
  const texts = [
    ...(certificates.length > 0 ? [named(certificates, 3)] : []),
    ...(hashes > 0 ? [plural(hashes, 'hash', 'hashes')] : []),
  ]
  return texts.length === 0 ? 'all of it' : texts.join(' and ')
}

export const SECURE_BOOT_PATTERNS: readonly Pattern[] = [
  {
    id: 'secure-boot.keys-cleared',
    sentence:
      'The keys of Secure Boot were cleared ({names}): the platform is in setup mode, and anybody may write new ones.',
    see: [
      database(
        'PK',
        'PK, now empty',
        ({ after, change }) => after?.summary.endsWith('not set') === true || change === 'removed',
      ),
    ],
    with: [
      database('KEK|db|dbx|dbt|dbr', 'KEK, db, dbx'),
      flag('SecureBoot', 'off'),
      flag('SetupMode', 'on'),
      ...CONSEQUENCES,
    ],
    tell: ({ differences }) => ({
      names: named(differences.filter((each) => each.kind === 'keys' && lost(each)).map(({ subject }) => subject)),
    }),
    confidence: 'certain',
    concern: 'attack',
    next: 'Take the node out of service. Restore the keys (the setup’s “factory keys”, or your own), switch Secure Boot on, and find out who was in the setup: what ran since was not verified.',
    example: 'Somebody chose “Clear Secure Boot keys” in the setup.',
  },
  {
    id: 'secure-boot.off',
    sentence: 'Secure Boot was switched off: whatever is on the boot disk starts now, signed or not.',
    see: [flag('SecureBoot', 'off')],
    with: [...CONSEQUENCES, flag('DeployedMode', 'off')],
    confidence: 'certain',
    concern: 'attack',
    next: 'Switch it on again in the firmware setup, and ask who switched it off. What ran in between was not verified: compare its measurements with a release, or reinstall.',
    example: 'A technician switched it off to boot a rescue stick, and forgot it.',
  },
  {
    id: 'secure-boot.on',
    sentence: 'Secure Boot was switched on.',
    see: [flag('SecureBoot', 'on')],
    with: [
      authorities(['added']),
      { what: 'SbatLevel', registers: [7], subject: /^SbatLevel/ },
      { what: 'images that are new', registers: [4], kinds: ['image'], changes: ['added'] },
    ],
    confidence: 'certain',
    concern: 'check',
    next: 'Good news, if you did it: learn PCR 7 (and 4) again, and let the policy ask for secureBoot.enabled from now on.',
    example: 'A fleet moves to Secure Boot, node by node.',
  },
  {
    id: 'secure-boot.setup-mode',
    sentence: 'The platform is in setup or audit mode: anybody may write the keys that images are verified with.',
    see: [
      {
        what: 'SetupMode or AuditMode, now on',
        registers: [7],
        stages: ['firmware'],
        subject: /^(?:SetupMode|AuditMode)$/,
        bound: true,
        where: isNow('on'),
      },
    ],
    confidence: 'certain',
    concern: 'attack',
    next: 'Leave the mode in the firmware setup, restore the keys, and find out who entered it.',
    example: 'The keys were cleared to enrol others, and nobody did.',
  },
  {
    id: 'secure-boot.dbx-shrunk',
    sentence:
      'The list of revoked boot loaders (dbx) lost {removed}: an older list was put back, so that known-bad boot loaders start again.',
    see: [database('dbx', 'dbx, with entries gone', lost)],
    tell: (_, { differences: [dbx] }) => ({ removed: entries(dbx, 'removed') }),
    confidence: 'likely',
    concern: 'attack',
    next: 'Update dbx on the node (fwupdmgr update), and see what started since the last good boot. Nobody takes entries out in normal operation, except firmware that restores its defaults.',
    example: 'BlackLotus: an old boot manager that Secure Boot would have refused.',
  },
  {
    id: 'secure-boot.dbx-grown',
    sentence: 'The list of revoked boot loaders (dbx) was updated: {added} more. That is a revocation update.',
    see: [database('dbx', 'dbx, with new entries and all old ones', grew)],
    tell: (_, { differences: [dbx] }) => ({ added: entries(dbx, 'added') }),
    confidence: 'likely',
    concern: 'check',
    next: 'Add the new dbx to the references (secureBoot.dbx), or ask for it by atLeast, which newer lists satisfy by themselves. Roll it out to the other nodes.',
    example: 'fwupd installed “UEFI dbx”.',
  },
  {
    id: 'secure-boot.platform-keys',
    sentence: 'The platform’s own keys changed ({names}): somebody else decides now what Secure Boot lets start.',
    see: [database('PK|KEK', 'PK or KEK')],
    with: [database('db', 'db')],
    tell: (_, { differences: [keys = []] }) => ({ names: named(keys.map(({ subject }) => subject)) }),
    confidence: 'likely',
    concern: 'attack',
    next: 'Compare the new certificates (below) with the vendor’s or your own. A KEK of Microsoft of 2023 comes with vendors’ updates; any other that you did not enrol is an intruder’s.',
    example: 'An intruder enrolled keys of his own with sbctl.',
  },
  {
    id: 'secure-boot.db-shrunk',
    sentence: 'The list of allowed boot loaders (db) lost {removed}.',
    see: [database('db', 'db, with entries gone', lost)],
    tell: (_, { differences: [db] }) => ({ removed: entries(db, 'removed') }),
    confidence: 'likely',
    concern: 'check',
    next: 'See that the boot loader of every node is still signed by what is left; then learn secureBoot.db again. What came instead is listed below.',
    example: 'The third-party certificate was taken out, as hardening guides advise.',
  },
  {
    id: 'secure-boot.db-grown',
    sentence: 'The list of allowed boot loaders (db) has a new entry: {added}. What it signed may start now.',
    see: [database('db', 'db, with new entries', ({ added }) => added.length > 0)],
    tell: (_, { differences: [db] }) => ({ added: entries(db, 'added') }),
    confidence: 'certain',
    concern: 'check',
    next: 'Compare the certificate with what you or the vendor rolled out (Microsoft’s of 2023 is on its way to most machines). One that nobody knows is a back door: take the node out of service.',
    example: 'Windows UEFI CA 2023 came with an update.',
  },
  {
    id: 'secure-boot.databases',
    sentence: 'Key databases of Secure Boot changed: {names}.',
    see: [database('db|dbx|dbt|dbr|KEK|PK', 'any of PK, KEK, db, dbx, dbt, dbr')],
    tell: (_, { differences: [keys = []] }) => ({ names: named(keys.map(({ subject }) => subject)) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Compare the entries with another machine of this model, and learn secureBoot.db and the others again if they are right.',
    example: 'dbt was set for the first time.',
  },
  {
    id: 'shim.sbat-lowered',
    sentence: 'shim’s own list of revocations (SBAT) went back to an older one: {levels}.',
    see: [
      {
        what: 'SbatLevel, now with an older date',
        registers: [7],
        subject: /^SbatLevel/,
        bound: true,
        where: (difference) => sbatOrder(difference) < 0,
      },
    ],
    tell: (_, { differences: [level = []] }) => ({ levels: sbatText(level) }),
    confidence: 'certain',
    concern: 'attack',
    next: 'Find out who reset it (mokutil --set-sbat-policy delete, or cleared variables): older, vulnerable boot loaders start again. Set it with mokutil --set-sbat-policy latest and reboot.',
    example: 'The NVRAM was cleared, and shim wrote the list that it was built with.',
  },
  {
    id: 'shim.sbat-raised',
    sentence: 'shim’s own list of revocations (SBAT) was updated: {levels}.',
    see: [
      {
        what: 'SbatLevel, now with a newer date',
        registers: [7],
        subject: /^SbatLevel/,
        bound: true,
        where: (difference) => sbatOrder(difference) > 0,
      },
    ],
    tell: (_, { differences: [level = []] }) => ({ levels: sbatText(level) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Expected with an update of shim: add the new level to shim.sbatLevel of the policy.',
    example: 'shim 15.8 came with an update.',
  },
  {
    id: 'shim.validation-off',
    sentence: 'shim does not verify what it starts any more (MokSBState).',
    see: [
      {
        what: 'MokSBState, now verification off',
        registers: [7, 14],
        subject: /^MokSBState$/,
        bound: true,
        where: isNow('verification off'),
      },
    ],
    confidence: 'certain',
    concern: 'attack',
    next: 'Switch it on again (mokutil --enable-validation, and reboot), and find out who switched it off: kernels that nobody signed start on this node.',
    example: 'mokutil --disable-validation, to load a driver.',
  },
  {
    id: 'shim.gone',
    sentence: 'shim did not run, or did not measure: something else was started in its place.',
    see: [
      {
        what: 'shim’s lists in PCR 14, all gone',
        registers: [14],
        changes: ['removed'],
        subject: /^(?:MokList|MokListX|MokListTrusted)$/,
      },
    ],
    without: [
      { what: 'one that is there', registers: [14], changes: ['added', 'changed', 'moved'], subject: /^MokList/ },
    ],
    confidence: 'likely',
    concern: 'check',
    next: 'See which image started first (below), and whether that is what should: a kernel that the firmware starts itself, or another boot loader.',
    example: 'A machine was changed from shim and GRUB to a unified kernel image.',
  },
  {
    id: 'shim.owner-keys',
    sentence: 'Keys of the machine’s owner changed (MOK): {names}. What they signed may start.',
    see: [
      {
        what: 'MokList, MokListX, MokListTrusted',
        registers: [7, 14],
        subject: /^(?:MokList|MokListX|MokListXRT|MokListTrusted)$/,
      },
    ],
    with: [{ what: 'MokListRT, new or gone', registers: [7], subject: /^MokListRT$/ }],
    tell: (_, { differences: [lists = []] }) => ({ names: named(lists.map(({ subject }) => subject)) }),
    confidence: 'likely',
    concern: 'check',
    next: 'List them on the machine with mokutil --list-enrolled. A key for a driver that you built: learn PCR 14 again. Any other: delete it, and find out who confirmed it at the console.',
    example: 'The package of a graphics driver enrolled a signing key.',
  },
  {
    id: 'secure-boot.other-authority',
    sentence: 'Images were verified with other keys: {names}.',
    see: [authorities(['added', 'removed', 'changed'])],
    tell: (_, { differences: [found = []] }) => ({ names: summaries(found) }),
    confidence: 'certain',
    concern: 'check',
    next: 'A boot loader or kernel of another signer started. See below which image it was, and whether that signer is one of yours.',
    example: 'Another distribution’s shim was installed.',
  },
  {
    id: 'secure-boot.variables',
    sentence: 'Other variables of Secure Boot changed: {names}.',
    see: [{ what: 'anything else in PCR 7', registers: [7], changes: ['added', 'removed', 'changed'] }],
    tell: (_, { differences: [found = []] }) => ({ names: named(found.map(({ subject }) => subject)) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Compare with another machine of this model, and learn PCR 7 again if it is right.',
    example: 'DeployedMode was left.',
  },
]

/** Negative: the list is older than it was; 0: nobody can say. */
function sbatOrder({ fields }: Difference): number {
  const [field] = fields.filter(({ name }) => name === 'value')
  const [before, after] = [sbatDate(field?.before), sbatDate(field?.after)]
  return before === undefined || after === undefined ? 0 : Math.sign(Number(after) - Number(before))
}

/** SBAT.md of shim: the first line is `sbat,<version>,<date as YYYYMMDDHH>`. */
function sbatDate(level: string | null | undefined): string | undefined {
  return /^sbat,\d{1,4},(\d{10})\b/.exec(level ?? '')?.[1]
}

function sbatText(differences: readonly Difference[]): string {
  const [field] = differences.flatMap(({ fields }) => fields)
  return `${sbatDate(field?.before) ?? '?'} → ${sbatDate(field?.after) ?? '?'}`
}
