import { z } from 'zod'
import { parseNodeId, TouchstoneError, view } from '../core/index.ts'

/** Schemas of what comes out of a database. One row that does not fit is a coded error, never a surprise further in. */

/** PostgreSQL's bigint arrives as text, SQLite's integer as a number. */
export const integer = z
  .union([z.number(), z.string().regex(/^-?\d{1,16}$/)])
  .transform(Number)
  .pipe(z.number().int())

export const flag = integer.pipe(z.union([z.literal(0), z.literal(1)])).transform((value) => value === 1)

export const bytes = z.instanceof(Uint8Array).transform(view)

export const hex = z.string().regex(/^(?:[0-9a-f]{2})+$/)

export const nodeId = z.string().transform((text, context) => {
  const id = parseNodeId(text)
  if (id !== undefined) return id
  context.addIssue({ code: 'custom', message: 'not a node id' })
  return z.NEVER
})

/** Sixteen hex digits; see tables.ts. */
export const u64 = z
  .string()
  .regex(/^[0-9a-f]{16}$/)
  .transform((text) => BigInt(`0x${text}`))

export function u64Text(value: bigint): string {
  return BigInt.asUintN(64, value).toString(16).padStart(16, '0')
}

/** Banks that a TPM implements; see `pcrBanks` of the wire. */
export const PCR_BANKS = ['sha1', 'sha256', 'sha384', 'sha512'] as const
export type PcrBank = (typeof PCR_BANKS)[number]

/** Text that holds JSON of the shape `schema`. */
export function json<T extends z.ZodType>(schema: T) {
  return z
    .string()
    .transform((text, context): unknown => {
      try {
        return JSON.parse(text)
      } catch {
        context.addIssue({ code: 'custom', message: 'not JSON' })
        return z.NEVER
      }
    })
    .pipe(schema)
}

export function readRow<T extends z.ZodType>(table: string, schema: T, row: unknown): z.output<T> {
  const parsed = schema.safeParse(row)
  if (parsed.success) return parsed.data
  const columns = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')
  throw new TouchstoneError('store.row', `a row of ${table} cannot be read: ${columns}`, { details: { table } })
}

export function readRows<T extends z.ZodType>(table: string, schema: T, rows: readonly unknown[]): z.output<T>[] {
  return rows.map((row) => readRow(table, schema, row))
}
