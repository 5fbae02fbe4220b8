import {
  defineRoute,
  guestCreation,
  guestDeletion,
  guestDetail,
  guestExport,
  guestImport,
  guestList,
  guestPath,
  guestQuery,
  guestRestore,
  guestStart,
  guestStop,
  vtpmBackup,
  vtpmNode,
  vtpmPackage,
  type Route,
} from '../../wire/index.ts'
import type { Guests } from './guests.ts'

/** Whoever may open the broker's own socket. */
export type GuestAccess = 'local'

/** A backup in JSON, with the largest state there may be. */
const ARCHIVE_LIMIT = 4 << 20
const STATE_CODES = [
  'guest.state_missing',
  'guest.state_damaged',
  'guest.state_rolled_back',
  'guest.state_foreign',
] as const
const ANY = ['guest.unknown', 'guest.retired', 'ledger.unavailable', 'guest.storage'] as const
const GRANT_CODES = ['guest.grant_rejected', 'grant.malformed', 'grant.signature', 'grant.expired'] as const

/** Guests and their TPMs over the broker's local socket; `guests` throws as long as the node's secrets are locked. */
export function guestRoutes(guests: () => Guests): readonly Route<GuestAccess>[] {
  const access = 'local'
  const params = guestPath
  return [
    defineRoute({
      ...{ method: 'GET', path: '/v1/guests', operation: 'listGuests', access },
      summary: 'The guests of this node; with all=true also those that were deleted or have moved.',
      query: guestQuery,
      answer: guestList,
      handle: async ({ query }) => ({ items: [...(await guests().list({ all: query.all === 'true' }))] }),
    }),
    defineRoute({
      ...{ method: 'POST', path: '/v1/guests', operation: 'createGuest', access },
      summary: 'Make a guest and its TPM, stopped.',
      body: guestCreation,
      answer: guestDetail,
      codes: ['guest.exists', 'guest.retired', 'ledger.full', 'ledger.unavailable', 'guest.storage'],
      handle: ({ body }) => guests().create(body),
    }),
    defineRoute({
      ...{ method: 'GET', path: '/v1/guests/:guest', operation: 'describeGuest', access, params },
      summary: 'Everything there is to know of one guest.',
      answer: guestDetail,
      codes: ['guest.unknown'],
      handle: ({ params: { guest } }) => guests().describe(guest),
    }),
    defineRoute({
      ...{ method: 'POST', path: '/v1/guests/:guest/start', operation: 'startGuest', access, params },
      summary: 'Power its TPM on, as the next generation.',
      body: guestStart,
      answer: guestDetail,
      codes: [...ANY, ...STATE_CODES, 'guest.running', 'guest.certificate_pending'],
      handle: ({ params: { guest }, body: { attachment } }) =>
        guests().start(guest, attachment === undefined ? {} : { attachment }),
    }),
    defineRoute({
      ...{ method: 'POST', path: '/v1/guests/:guest/stop', operation: 'stopGuest', access, params },
      summary: 'Power its TPM off in order; what is left is the one state that starts next.',
      body: guestStop,
      answer: guestDetail,
      codes: [...ANY, 'guest.not_running', 'guest.attached'],
      handle: ({ params: { guest }, body }) => guests().stop(guest, body),
    }),
    defineRoute({
      ...{ method: 'POST', path: '/v1/guests/:guest/delete', operation: 'deleteGuest', access, params },
      summary: 'Retire it for good and destroy its keys.',
      body: guestDeletion,
      answer: guestDetail,
      codes: ['guest.unknown', 'guest.running', 'ledger.unavailable', 'guest.storage'],
      handle: ({ params: { guest }, body }) => guests().delete(guest, body),
    }),
    defineRoute({
      ...{ method: 'POST', path: '/v1/guests/:guest/backup', operation: 'backupGuest', access, params },
      summary: 'Its TPM in a file, for this node or the holder of the recovery key.',
      answer: vtpmBackup,
      codes: [...ANY, ...STATE_CODES],
      handle: ({ params: { guest } }) => guests().backup(guest),
    }),
    defineRoute({
      ...{ method: 'POST', path: '/v1/guests/:guest/restore', operation: 'restoreGuest', access, params },
      summary: 'Make an older state the current one; takes a grant, because it is a rollback.',
      body: guestRestore,
      bodyLimit: ARCHIVE_LIMIT,
      answer: guestDetail,
      codes: [
        ...GRANT_CODES,
        ...(['guest.grant_needed', 'guest.backup_invalid', 'guest.key_locked', 'guest.wrap', 'guest.running'] as const),
        ...(['guest.state_missing', 'ledger.unavailable', 'guest.storage'] as const),
      ],
      handle: ({ params: { guest }, body }) => guests().restore(guest, body),
    }),
    defineRoute({
      ...{ method: 'POST', path: '/v1/guests/:guest/rekey', operation: 'rekeyGuest', access, params },
      summary: 'Put its state under a new key, sealed and escrowed anew.',
      answer: guestDetail,
      codes: [...ANY, ...STATE_CODES, 'guest.running'],
      handle: ({ params: { guest } }) => guests().rekey(guest),
    }),
    defineRoute({
      ...{ method: 'POST', path: '/v1/guests/:guest/export', operation: 'exportGuest', access, params },
      summary: 'Give it away to the node that a grant names, and retire it here.',
      body: guestExport,
      answer: vtpmPackage,
      codes: [...ANY, ...STATE_CODES, ...GRANT_CODES, 'guest.running'],
      handle: ({ params: { guest }, body }) => guests().export(guest, body.grant),
    }),
    defineRoute({
      ...{ method: 'POST', path: '/v1/import', operation: 'importGuest', access },
      summary: 'Take a guest in that another node gave away.',
      body: guestImport,
      bodyLimit: ARCHIVE_LIMIT,
      answer: guestDetail,
      codes: [
        ...GRANT_CODES,
        'guest.exists',
        'guest.backup_invalid',
        'guest.wrap',
        'ledger.unavailable',
        'guest.storage',
      ],
      handle: ({ body }) => guests().import(body.grant, body.package),
    }),
    defineRoute({
      ...{ method: 'GET', path: '/v1/node', operation: 'describeNode', access },
      summary: 'What others need to know of this node to send guests to it.',
      answer: vtpmNode,
      handle: () => guests().node(),
    }),
  ]
}
