import { type Kysely, sql } from 'kysely'
import type { Engine } from './engine.ts'
import type { Tables } from './tables.ts'

export interface Migration {
  /** Counts up from 1 without gaps. */
  readonly version: number
  readonly name: string
  up(db: Kysely<Tables>, engine: Engine): Promise<void>
}

/** Never edited once released: a change is a new migration. */
export const MIGRATIONS: readonly Migration[] = [
  { version: 1, name: 'first', up: createFirst },
  { version: 2, name: 'sessions of nodes', up: markSessionsOfNodes },
  { version: 3, name: 'guests', up: addGuests },
  { version: 4, name: 'recomputing', up: keepWhatVerdictsDependOn },
  { version: 5, name: 'IMA logs', up: addImaLogs },
  { version: 6, name: 'lists', up: indexLists },
]

/** Nobody who asks for what is rare, or is not there, may have the whole table read. */
async function indexLists({ schema }: Kysely<Tables>): Promise<void> {
  await schema.createIndex('attestationsStatus').on('attestations').columns(['status', 'id']).execute()
  await schema.createIndex('resourcesDigest').on('resources').column('digest').execute()
}

/** A kernel's log grows for as long as it runs, so only what is new of it travels and is judged. */
async function addImaLogs({ schema }: Kysely<Tables>): Promise<void> {
  await schema
    .createTable('imaLogs')
    .addColumn('nodeId', 'text', (c) => c.primaryKey().references('nodes.id'))
    .addColumn('boot', 'text', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('bytes', 'bigint', (c) => c.notNull())
    .addColumn('isWhole', 'integer', (c) => c.notNull())
    .addColumn('updated', 'bigint', (c) => c.notNull())
    .execute()
  await schema
    .createTable('imaParts')
    .addColumn('nodeId', 'text', (c) => c.notNull().references('nodes.id'))
    .addColumn('start', 'bigint', (c) => c.notNull())
    .addColumn('size', 'bigint', (c) => c.notNull())
    .addColumn('digest', 'text', (c) => c.notNull().references('evidenceLogs.digest'))
    .addPrimaryKeyConstraint('imaPartsKey', ['nodeId', 'start'])
    .execute()
  await schema.createIndex('imaPartsDigest').on('imaParts').column('digest').execute()
}

/** A past verdict can be recomputed only from what it was made of, and a policy's file may be gone by then. */
async function keepWhatVerdictsDependOn({ schema }: Kysely<Tables>): Promise<void> {
  await schema.alterTable('attestations').addColumn('evidence', 'text').execute()
  await schema
    .createTable('documents')
    .addColumn('digest', 'text', (c) => c.primaryKey())
    .addColumn('document', 'text', (c) => c.notNull())
    .addColumn('stored', 'bigint', (c) => c.notNull())
    .execute()
  await schema.alterTable('resources').addColumn('reason', 'text').execute()
}

async function markSessionsOfNodes({ schema }: Kysely<Tables>): Promise<void> {
  await schema
    .alterTable('onboardingSessions')
    .addColumn('ofNode', 'integer', (c) => c.notNull().defaultTo(0))
    .execute()
}

/** Guests are records of their own kind beside the machines that they run on. */
async function addGuests({ schema }: Kysely<Tables>, { bytes }: Engine): Promise<void> {
  await schema
    .alterTable('nodes')
    .addColumn('kind', 'text', (c) => c.notNull().defaultTo('node'))
    .execute()
  await schema.alterTable('nodes').addColumn('guestId', 'text').execute()
  await schema
    .alterTable('nodes')
    .addColumn('hostNodeId', 'text', (c) => c.references('nodes.id'))
    .execute()
  await schema.createIndex('nodesGuest').on('nodes').column('guestId').execute()
  await schema.createIndex('nodesHost').on('nodes').column('hostNodeId').execute()

  // Whom or what a certificate is about, beyond the node that obtained it.
  await schema.alterTable('certificates').addColumn('subject', 'text').execute()
  await schema.createIndex('certificatesSubject').on('certificates').columns(['kind', 'subject']).execute()

  await schema
    .createTable('placements')
    .addColumn('guest', 'text', (c) => c.primaryKey())
    .addColumn('nodeId', 'text', (c) => c.notNull().references('nodes.id'))
    .addColumn('tenant', 'text', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('generation', 'bigint', (c) => c.notNull())
    .addColumn('destination', 'text', (c) => c.references('nodes.id'))
    .addColumn('ekSha256', 'text')
    .addColumn('askedEkSha256', 'text')
    .addColumn('created', 'bigint', (c) => c.notNull())
    .addColumn('actor', 'text', (c) => c.notNull())
    .execute()
  await schema.createIndex('placementsNode').on('placements').columns(['nodeId', 'guest']).execute()
  // One EK, one guest: two that share one would be copies of each other.
  await schema.createIndex('placementsEk').on('placements').column('ekSha256').unique().execute()

  await schema
    .createTable('nodeRoots')
    .addColumn('nodeId', 'text', (c) => c.primaryKey().references('nodes.id'))
    .addColumn('nodeRef', 'text', (c) => c.notNull())
    .addColumn('storageRootName', 'text', (c) => c.notNull())
    .addColumn('counterName', 'text', (c) => c.notNull())
    .addColumn('counter', 'bigint', (c) => c.notNull())
    .addColumn('pcrs', 'text', (c) => c.notNull())
    .addColumn('transportKey', bytes, (c) => c.notNull())
    .addColumn('updated', 'bigint', (c) => c.notNull())
    .execute()
  // One TPM, one node: what is signed for a storage root is signed for whoever has it.
  await schema.createIndex('nodeRootsRef').on('nodeRoots').column('nodeRef').unique().execute()
  await schema
    .createTable('releases')
    .addColumn('nodeId', 'text', (c) => c.notNull().references('nodes.id'))
    .addColumn('nodeRef', 'text', (c) => c.notNull())
    .addColumn('release', 'bigint', (c) => c.notNull())
    .addColumn('pcrs', 'text', (c) => c.notNull())
    .addColumn('pcrDigest', 'text', (c) => c.notNull())
    .addColumn('document', 'text', (c) => c.notNull())
    .addColumn('origin', 'text', (c) => c.notNull())
    .addColumn('created', 'bigint', (c) => c.notNull())
    .addColumn('actor', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('releasesKey', ['nodeId', 'nodeRef', 'release'])
    .execute()
  await schema.createIndex('releasesRef').on('releases').column('nodeRef').execute()
}

async function createFirst(db: Kysely<Tables>, { bytes }: Engine): Promise<void> {
  const { schema } = db

  await schema
    .createTable('secrets')
    .addColumn('name', 'text', (c) => c.primaryKey())
    .addColumn('value', bytes, (c) => c.notNull())
    .addColumn('created', 'bigint', (c) => c.notNull())
    .execute()

  await schema
    .createTable('nodes')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('status', 'text', (c) => c.notNull())
    .addColumn('model', 'text', (c) => c.notNull())
    .addColumn('serial', 'text', (c) => c.notNull())
    .addColumn('holdsIdentity', 'integer', (c) => c.notNull())
    .addColumn('labels', 'text', (c) => c.notNull())
    .addColumn('admittedBy', 'text', (c) => c.notNull())
    .addColumn('ekSha256', 'text', (c) => c.notNull())
    .addColumn('ekPublic', bytes, (c) => c.notNull())
    .addColumn('akPublic', bytes, (c) => c.notNull())
    .addColumn('akName', 'text', (c) => c.notNull())
    .addColumn('devicePublic', bytes, (c) => c.notNull())
    .addColumn('deviceKeyName', 'text', (c) => c.notNull())
    .addColumn('pcrBanks', 'text', (c) => c.notNull())
    .addColumn('created', 'bigint', (c) => c.notNull())
    .addColumn('enrolled', 'bigint', (c) => c.notNull())
    .addColumn('lastNonceIssued', 'bigint')
    .addColumn('lastClock', 'text')
    .addColumn('lastResetCount', 'bigint')
    .addColumn('lastRestartCount', 'bigint')
    .addColumn('lastSafe', 'integer')
    .addColumn('lastFirmwareVersion', 'text')
    .addColumn('lastEventLog', 'text')
    .addColumn('lastAttestation', 'text')
    .addColumn('reenrolAkName', 'text')
    .addColumn('reenrolDeviceKeyName', 'text')
    .addColumn('reenrolRequested', 'bigint')
    .addColumn('reenrolApproved', 'bigint')
    .execute()
  // One machine, one node: held by the database itself, so that no race between two admissions can break it.
  await schema
    .createIndex('nodesIdentity')
    .on('nodes')
    .columns(['model', 'serial'])
    .unique()
    .where(sql.ref('holdsIdentity'), '=', 1)
    .execute()
  await schema.createIndex('nodesStatus').on('nodes').columns(['status', 'id']).execute()

  await schema
    .createTable('nodeEks')
    .addColumn('spkiSha256', 'text', (c) => c.primaryKey())
    .addColumn('nodeId', 'text', (c) => c.notNull().references('nodes.id'))
    .addColumn('certificate', bytes)
    .addColumn('created', 'bigint', (c) => c.notNull())
    .execute()
  await schema.createIndex('nodeEksNode').on('nodeEks').column('nodeId').execute()

  await schema
    .createTable('onboardingSessions')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('ekSha256', 'text', (c) => c.notNull())
    .addColumn('ekPublic', bytes, (c) => c.notNull())
    .addColumn('ekCertificate', bytes)
    .addColumn('akPublic', bytes, (c) => c.notNull())
    .addColumn('akName', 'text', (c) => c.notNull())
    .addColumn('model', 'text', (c) => c.notNull())
    .addColumn('serial', 'text', (c) => c.notNull())
    .addColumn('pcrs', 'text', (c) => c.notNull())
    .addColumn('pcrBanks', 'text', (c) => c.notNull())
    .addColumn('secret', bytes, (c) => c.notNull())
    .addColumn('created', 'bigint', (c) => c.notNull())
    .addColumn('expires', 'bigint', (c) => c.notNull())
    .addColumn('consumed', 'bigint')
    .execute()
  await schema.createIndex('onboardingSessionsExpires').on('onboardingSessions').column('expires').execute()
  await schema.createIndex('onboardingSessionsEk').on('onboardingSessions').column('ekSha256').execute()

  await schema
    .createTable('evidenceLogs')
    .addColumn('digest', 'text', (c) => c.primaryKey())
    .addColumn('size', 'bigint', (c) => c.notNull())
    .addColumn('bytes', bytes, (c) => c.notNull())
    .addColumn('stored', 'bigint', (c) => c.notNull())
    .execute()
  await schema
    .createTable('nodeLogs')
    .addColumn('nodeId', 'text', (c) => c.notNull().references('nodes.id'))
    .addColumn('digest', 'text', (c) => c.notNull().references('evidenceLogs.digest'))
    .addColumn('used', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('nodeLogsKey', ['nodeId', 'digest'])
    .execute()
  await schema.createIndex('nodeLogsDigest').on('nodeLogs').column('digest').execute()

  await schema
    .createTable('attestations')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('nodeId', 'text', (c) => c.notNull().references('nodes.id'))
    .addColumn('purpose', 'text', (c) => c.notNull())
    .addColumn('time', 'bigint', (c) => c.notNull())
    .addColumn('freshFrom', 'bigint', (c) => c.notNull())
    .addColumn('akName', 'text', (c) => c.notNull())
    .addColumn('resetCount', 'bigint', (c) => c.notNull())
    .addColumn('requestSha256', 'text')
    .addColumn('status', 'text', (c) => c.notNull())
    .addColumn('vector', 'text', (c) => c.notNull())
    .addColumn('checks', 'text', (c) => c.notNull())
    .addColumn('firstFailure', 'text')
    .addColumn('inputs', 'text', (c) => c.notNull())
    .addColumn('quote', bytes, (c) => c.notNull())
    .addColumn('signature', bytes, (c) => c.notNull())
    .addColumn('result', 'text')
    .execute()
  await schema.createIndex('attestationsNode').on('attestations').columns(['nodeId', 'id']).execute()

  await schema
    .createTable('certificates')
    .addColumn('serial', 'text', (c) => c.primaryKey())
    .addColumn('nodeId', 'text', (c) => c.notNull().references('nodes.id'))
    .addColumn('kind', 'text', (c) => c.notNull())
    .addColumn('keyName', 'text', (c) => c.notNull())
    .addColumn('notBefore', 'bigint', (c) => c.notNull())
    .addColumn('notAfter', 'bigint', (c) => c.notNull())
    .addColumn('pem', 'text', (c) => c.notNull())
    .addColumn('revoked', 'bigint')
    .execute()
  await schema.createIndex('certificatesNode').on('certificates').columns(['nodeId', 'notAfter']).execute()

  await schema
    .createTable('resources')
    .addColumn('kind', 'text', (c) => c.notNull())
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('revision', 'integer', (c) => c.notNull())
    .addColumn('document', 'text', (c) => c.notNull())
    .addColumn('digest', 'text', (c) => c.notNull())
    .addColumn('updated', 'bigint', (c) => c.notNull())
    .addColumn('actor', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('resourcesKey', ['kind', 'name', 'revision'])
    .execute()

  await schema
    .createTable('tokens')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('name', 'text', (c) => c.notNull().unique())
    .addColumn('role', 'text', (c) => c.notNull())
    .addColumn('secretSha256', 'text', (c) => c.notNull())
    .addColumn('created', 'bigint', (c) => c.notNull())
    .addColumn('revoked', 'bigint')
    .execute()

  await schema
    .createTable('audit')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('time', 'bigint', (c) => c.notNull())
    .addColumn('actor', 'text', (c) => c.notNull())
    .addColumn('action', 'text', (c) => c.notNull())
    .addColumn('subject', 'text', (c) => c.notNull())
    .addColumn('detail', 'text', (c) => c.notNull())
    .execute()
  await schema.createIndex('auditSubject').on('audit').columns(['subject', 'id']).execute()
}
