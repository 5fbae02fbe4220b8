import type { z } from 'zod'
import type { ErrorCode } from '../core/index.ts'
import { type Fault, Refusal } from './refusal.ts'

export interface Call<P, Q, B> {
  readonly params: P
  readonly query: Q
  readonly body: B
  /** Who calls, as the audit trail names them. */
  readonly actor: string
}

interface Description<Access extends string> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** With `:name` parameters. */
  readonly path: string
  /** Stable name of the operation in the OpenAPI document. */
  readonly operation: string
  readonly summary: string
  /** Who may call it. There is no default: a route that does not say is not a route. */
  readonly access: Access
  /** Bytes; only for routes that take a body. */
  readonly bodyLimit?: number
  /** Codes that this operation itself answers with, besides those that any may. */
  readonly codes?: readonly ErrorCode[]
}

export interface RouteDefinition<
  Access extends string,
  P extends z.ZodType,
  Q extends z.ZodType,
  B extends z.ZodType,
  A extends z.ZodType,
> extends Description<Access> {
  readonly params?: P
  readonly query?: Q
  readonly body?: B
  readonly answer: A
  readonly handle: (call: Call<z.output<P>, z.output<Q>, z.output<B>>) => Promise<z.output<A>> | z.output<A>
}

/** One row of a route table: it registers the route, guards it, and describes it in the OpenAPI document. */
export interface Route<Access extends string> extends Description<Access> {
  readonly schemas: {
    readonly params?: z.ZodType
    readonly query?: z.ZodType
    readonly body?: z.ZodType
    readonly answer: z.ZodType
  }
  readonly run: (raw: {
    readonly params: unknown
    readonly query: unknown
    readonly body: unknown
    readonly actor: string
  }) => Promise<unknown>
}

export function defineRoute<
  Access extends string,
  A extends z.ZodType,
  P extends z.ZodType = z.ZodUndefined,
  Q extends z.ZodType = z.ZodUndefined,
  B extends z.ZodType = z.ZodUndefined,
>({ params, query, body, answer, handle, ...description }: RouteDefinition<Access, P, Q, B, A>): Route<Access> {
  return {
    ...description,
    schemas: {
      answer,
      ...(params === undefined ? {} : { params }),
      ...(query === undefined ? {} : { query }),
      ...(body === undefined ? {} : { body }),
    },
    run: async (raw) =>
      handle({
        params: read('params', params, raw.params),
        query: read('query', query, raw.query),
        body: read('body', body, raw.body),
        actor: raw.actor,
      }),
  }
}

/** What no route of a table serves: the refusal, and the methods that its path does take, for the header Allow. */
export function notRouted(
  routes: readonly Pick<Route<string>, 'path' | 'method'>[],
  url: string,
): { readonly refusal: Refusal; readonly allow: string | undefined } {
  const path = url.split('?', 1)[0] ?? ''
  const methods = routes.filter((route) => matches(route.path, path)).map((route) => route.method)
  if (methods.length === 0) return { refusal: new Refusal('http.not_found'), allow: undefined }
  const refusal = new Refusal('http.method', `${path} takes ${methods.join(' and ')}`)
  return { refusal, allow: methods.join(', ') }
}

function matches(pattern: string, path: string): boolean {
  const wanted = pattern.split('/')
  const given = path.split('/')
  return wanted.length === given.length && wanted.every((part, at) => part.startsWith(':') || part === given[at])
}

/**
 * Reads one part of a request. Parts that a route does not have are not looked at, except that a body or a query nobody
 * asked for is refused. Faults are reported together, up to a bound.
 */
function read<T extends z.ZodType>(part: string, schema: T | undefined, value: unknown): z.output<T> {
  if (schema === undefined) {
    const isEmpty =
      value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0)
    if (!isEmpty && part !== 'params') throw invalid(part, [{ path: part, message: 'nothing is expected here' }])
    return undefined as z.output<T>
  }
  const parsed = schema.safeParse(value ?? {})
  if (parsed.success) return parsed.data
  const { issues } = parsed.error
  throw invalid(
    part,
    issues.slice(0, MAX_FAULTS).map((issue) => faultOf(part, issue)),
    issues.length,
  )
}

/** What is told of a body is bounded: whoever sent it is anonymous, and names in it are theirs to choose. */
const MAX_FAULTS = 20
const MAX_TEXT = 200
const MAX_KEYS = 5
const MAX_KEY = 32

function faultOf(part: string, issue: z.core.$ZodIssue): Fault {
  const path = [part, ...issue.path.map((step) => cut(String(step), MAX_KEY))].join('.')
  return { path: cut(path, MAX_TEXT), message: cut(messageOf(issue), MAX_TEXT) }
}

function messageOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'unrecognized_keys') return issue.message
  const shown = issue.keys.slice(0, MAX_KEYS).map((key) => JSON.stringify(cut(key, MAX_KEY)))
  const more = issue.keys.length > shown.length ? ` and ${issue.keys.length - shown.length} more` : ''
  return `nobody asked for ${shown.join(', ')}${more}`
}

function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text
}

function invalid(part: string, faults: readonly Fault[], found = faults.length): Refusal {
  const listed = faults.map(({ path, message }) => `${path}: ${message}`).join('; ')
  const count = found === 1 ? 'has a fault' : `has ${found} faults`
  const more = found > faults.length ? `; and ${found - faults.length} more` : ''
  return new Refusal('http.invalid', `the ${part} ${count}: ${listed}${more}`, { faults })
}
