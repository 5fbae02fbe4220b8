import {
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import type { Engine } from './engine.ts'
import { openDatabase, SqliteConnection } from './sqlite-connection.ts'

/**
 * SQLite through `node:sqlite`. Whatever only SQLite understands stands in this file and in sqlite-connection.ts.
 *
 * There is one connection; Kysely serves its users one after the other, because the adapter says so
 * (`supportsMultipleConnections` is false). So inside a transaction only that transaction's own repositories may be
 * used: any other would wait for it to end.
 */
export function sqliteEngine(path: string): Engine {
  return {
    bytes: 'blob',
    dialect: {
      createDriver: () => new SqliteDriver(path),
      createQueryCompiler: () => new SqliteQueryCompiler(),
      createAdapter: () => new SqliteAdapter(),
      createIntrospector: (db) => new SqliteIntrospector(db),
    },
  }
}

class SqliteDriver implements Driver {
  readonly #path: string
  #connection: SqliteConnection | undefined

  constructor(path: string) {
    this.#path = path
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- a driver's methods are asynchronous; this one fails by rejecting
  async init(): Promise<void> {
    this.#connection = new SqliteConnection(openDatabase(this.#path))
  }

  acquireConnection(): Promise<DatabaseConnection> {
    if (this.#connection === undefined) throw new Error('the database is not open')
    return Promise.resolve(this.#connection)
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    // Takes the write lock at once. A transaction that reads first and writes later could fail in the middle instead,
    // when another process has written in between.
    await connection.executeQuery(CompiledQuery.raw('begin immediate'))
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('commit'))
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- a driver's methods are asynchronous; this one fails by rejecting
  async rollbackTransaction(): Promise<void> {
    this.#connection?.rollback()
  }

  releaseConnection(): Promise<void> {
    return Promise.resolve()
  }

  destroy(): Promise<void> {
    this.#connection?.close()
    this.#connection = undefined
    return Promise.resolve()
  }
}
