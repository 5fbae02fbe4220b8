import type { Dialect } from 'kysely'

/** What differs between the databases that one schema runs on; everything else is written once. */
export interface Engine {
  readonly dialect: Dialect
  /** The column type of byte strings. */
  readonly bytes: 'blob' | 'bytea'
}
