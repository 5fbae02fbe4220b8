import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { Command } from 'commander'
import { toRfc3339, TouchstoneError, uuidV7 } from '../core/index.ts'
import type { AuditRecord, Role, Store } from '../store/index.ts'
import { CONFIG, DATA_DIR, dataDirOf, type DataDirOptions } from './data-dir.ts'
import { EXIT } from './failure.ts'
import { parseOutputFormat, print, printJson, printRows } from './output.ts'

interface Options extends DataDirOptions {
  readonly role?: string
  readonly output?: string
  readonly json?: boolean
}

/** As the audit trail shows it. */
const NAME = /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/

export function tokenCommand(finish: (code: number) => void): Command {
  return new Command('token')
    .description("Operators' tokens; kept as hashes in the data directory, so these commands run beside the verifier.")
    .addCommand(createCommand(finish))
    .addCommand(revokeCommand(finish))
    .addCommand(listCommand(finish))
}

function createCommand(finish: (code: number) => void): Command {
  return new Command('create')
    .description('Make a token and print it, once.')
    .argument('<name>', 'who it is for; appears in the audit trail')
    .option('--role <role>', 'viewer (reads), operator (also approves and applies) or admin', 'viewer')
    .option(...DATA_DIR)
    .option(...CONFIG)
    .option('--json', 'token with its id, name and role')
    .addHelpText(
      'after',
      `
Example:
  (umask 077; touchstone token create alice --role operator --data-dir /var/lib/touchstone > alice.token)
  export TOUCHSTONE_TOKEN_FILE=$PWD/alice.token`,
    )
    .action(async (name: string, options: Options) => {
      const role = roleOf(options.role ?? 'viewer')
      if (!NAME.test(name)) {
        throw new TouchstoneError('usage.arguments', `${name} is not a name for a token`, {
          hint: 'Use lower-case letters, digits, dots and hyphens.',
        })
      }
      const { mintToken } = await import('../server/index.ts')
      const now = Date.now()
      const { token, record } = mintToken(name, role, now, randomBytes)
      await withStore(options, async (store) => {
        await store.transaction(async (tx) => {
          if (!(await tx.tokens.insert(record)))
            throw new TouchstoneError('token.name', `there is a token named ${name} already`)
          await tx.audit.insert(auditRecord(now, 'token.create', name, { role }))
        })
      })
      if (options.json === true) printJson({ id: record.id, name, role, token })
      else print(token)
      finish(EXIT.done)
    })
}

function revokeCommand(finish: (code: number) => void): Command {
  return new Command('revoke')
    .description('End tokens; from now on they open nothing.')
    .argument('<name...>', 'names of tokens')
    .option(...DATA_DIR)
    .option(...CONFIG)
    .action(async (names: readonly string[], options: Options) => {
      const now = Date.now()
      await withStore(options, async (store) => {
        await store.transaction(async (tx) => {
          for (const name of names) {
            if (!(await tx.tokens.revoke(name, now))) {
              throw new TouchstoneError('token.not_found', `no token named ${name} is in force; none was revoked`)
            }
            await tx.audit.insert(auditRecord(now, 'token.revoke', name, {}))
          }
        })
      })
      for (const name of names) print(`revoked ${name}`)
      finish(EXIT.done)
    })
}

function listCommand(finish: (code: number) => void): Command {
  return new Command('list')
    .description('Names, roles and dates of all tokens; never the tokens themselves.')
    .option(...DATA_DIR)
    .option(...CONFIG)
    .option('-o, --output <format>', 'json, yaml or wide')
    .option('--json', 'the same as -o json')
    .action(async (options: Options) => {
      const tokens = await withStore(options, (store) => store.tokens.list())
      const rows = tokens.map(({ id, name, role, created, revoked }) => ({
        id,
        name,
        role,
        created: toRfc3339(created),
        ...(revoked === undefined ? {} : { revoked: toRfc3339(revoked) }),
      }))
      printRows(
        parseOutputFormat(options),
        rows,
        [
          { title: 'NAME', value: (row) => row.name },
          { title: 'ROLE', value: (row) => row.role },
          { title: 'CREATED', value: (row) => row.created },
          { title: 'REVOKED', value: (row) => row.revoked ?? '' },
          { title: 'ID', value: (row) => row.id, wide: true },
        ],
        'no tokens yet; make one with: touchstone token create NAME --data-dir DIR',
      )
      finish(EXIT.done)
    })
}

/** Whoever can open the data directory acts as the verifier itself. */
function auditRecord(
  time: number,
  action: string,
  subject: string,
  detail: Readonly<Record<string, string>>,
): AuditRecord {
  return { id: uuidV7(time, randomBytes(10)), time, actor: 'touchstone', action, subject, detail }
}

function roleOf(text: string): Role {
  if (text === 'viewer' || text === 'operator' || text === 'admin') return text
  throw new TouchstoneError('usage.arguments', `${text} is not a role`, { hint: 'Use viewer, operator or admin.' })
}

async function withStore<T>(options: Options, use: (store: Store) => Promise<T>): Promise<T> {
  const [{ databasePath }, { openStore, sqliteEngine }] = await Promise.all([
    import('../server/index.ts'),
    import('../store/index.ts'),
  ])
  const { dataDir: directory } = await dataDirOf(options)
  if (!existsSync(directory)) {
    throw new TouchstoneError('usage.file', `there is no directory ${directory}`, {
      hint: 'Make it with: touchstone ca init --data-dir DIR',
    })
  }
  const store = await openStore(sqliteEngine(databasePath(directory)), Date.now())
  try {
    return await use(store)
  } finally {
    await store.close()
  }
}
