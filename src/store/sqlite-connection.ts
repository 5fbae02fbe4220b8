import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from 'node:sqlite'
import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'
import { TouchstoneError } from '../core/index.ts'

const BUSY_TIMEOUT_MS = 5000
const MAX_STATEMENTS = 256

/**
 * Set on every open and read back: a WAL database that another program last opened, or that a library reopens, comes up
 * with that program's defaults and would then acknowledge what a power cut can still take away.
 */
const PRAGMAS = [
  { set: 'journal_mode = WAL', read: 'journal_mode', expected: 'wal' },
  { set: 'synchronous = FULL', read: 'synchronous', expected: 2 },
  { set: 'foreign_keys = ON', read: 'foreign_keys', expected: 1 },
  { set: `busy_timeout = ${BUSY_TIMEOUT_MS}`, read: 'busy_timeout', expected: BUSY_TIMEOUT_MS },
  { set: 'trusted_schema = OFF', read: 'trusted_schema', expected: 0 },
] as const

/** Opens the file, private to this user (0600 in a directory of 0700; SQLite gives its WAL the mode of the database). */
export function openDatabase(path: string): DatabaseSync {
  const directory = dirname(path)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  chmodSync(directory, 0o700)
  closeSync(openSync(path, 'a', 0o600))
  chmodSync(path, 0o600)
  return coded(() => {
    const database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true })
    try {
      for (const { set, read, expected } of PRAGMAS) {
        database.exec(`PRAGMA ${set}`)
        // The column is named after the pragma, but busy_timeout answers as `timeout`.
        const actual = Object.values(database.prepare(`PRAGMA ${read}`).get() ?? {})[0]
        if (actual !== expected) {
          throw new TouchstoneError('store.settings', `${read} is ${String(actual)}, expected ${expected}`)
        }
      }
      return database
    } catch (error) {
      database.close()
      throw error
    }
  })
}

/** The one connection. `node:sqlite` is synchronous, so a statement is finished, and a commit durable, on return. */
export class SqliteConnection implements DatabaseConnection {
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    try {
      return Promise.resolve(coded(() => this.#execute<R>(query)))
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)))
    }
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- the port asks for it and nothing here streams
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('this driver does not stream')
  }

  /** Where SQLite has ended the transaction by itself (full disk, no memory), nothing is left to be rolled back. */
  rollback(): void {
    if (this.#database.isTransaction) coded(() => this.#database.exec('rollback'))
  }

  close(): void {
    this.#statements.clear()
    this.#database.close()
  }

  #execute<R>({ sql, parameters }: CompiledQuery): QueryResult<R> {
    const statement = this.#prepare(sql)
    const values = parameters.map(bindable)
    if (statement.columns().length === 0) {
      const { changes } = statement.run(...values)
      return { numAffectedRows: BigInt(changes), rows: [] }
    }
    const rows: Record<string, SQLOutputValue>[] = statement.all(...values)
    // Kysely asks for rows of the type that its query builder worked out; columns.ts then checks what they hold.
    return { numAffectedRows: BigInt(rows.length), rows: rows as R[] }
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    if (this.#statements.size >= MAX_STATEMENTS) this.#statements.clear()
    const statement = this.#database.prepare(sql)
    this.#statements.set(sql, statement)
    return statement
  }
}

function bindable(value: unknown): SQLInputValue {
  if (value === null || typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string')
    return value
  if (value instanceof Uint8Array) return value
  throw new TypeError(`a ${typeof value} cannot be stored`)
}

/** SQLite's primary result codes that have a meaning to an operator (sqlite.org/rescode.html). */
const CODES = new Map([
  [5, 'store.busy'],
  [11, 'store.damaged'],
  [13, 'store.full'],
  [26, 'store.damaged'],
] as const)

function coded<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    const result = cause instanceof Error && 'errcode' in cause && typeof cause.errcode === 'number' ? cause.errcode : 0
    const code = CODES.get((result & 0xff) as 5)
    throw code === undefined ? cause : new TouchstoneError(code, undefined, { cause })
  }
}
