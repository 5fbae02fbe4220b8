import type { z } from 'zod'
import type { Role } from '../../store/index.ts'
import { defineRoute, type Route as WireRoute, type RouteDefinition } from '../../wire/index.ts'

/**
 * Who may call a route. `public` needs nothing; `node` needs nothing either, because what a node sends authenticates
 * itself, and its answers are signed; a role needs the token of an operator with that role or a higher one.
 */
export type Access = 'public' | 'node' | Role

/** The operator who calls, as the audit trail names them. */
export interface Actor {
  readonly name: string
  readonly role: Role
}

/** An answer that goes out in a media type of its own, where Accept prefers that. */
export interface RawAnswer {
  readonly media: string
  /** What the query gains by it; `undefined` where the parameters of the type ask for what there is not. */
  readonly query: (parameters: ReadonlyMap<string, string>) => Readonly<Record<string, string>> | undefined
  readonly body: (answer: unknown) => Buffer
}

interface Limits {
  readonly raw?: readonly RawAnswer[]
  /** Counted separately and more tightly, per address. */
  readonly onboarding?: true
}

/** One row of the verifier's route table. The actor is `touchstone` where nobody authenticated. */
export interface Route extends WireRoute<Access>, Limits {}

export function route<
  A extends z.ZodType,
  P extends z.ZodType = z.ZodUndefined,
  Q extends z.ZodType = z.ZodUndefined,
  B extends z.ZodType = z.ZodUndefined,
>({ onboarding, raw, ...definition }: RouteDefinition<Access, P, Q, B, A> & Limits): Route {
  return {
    ...defineRoute(definition),
    ...(onboarding === undefined ? {} : { onboarding }),
    ...(raw === undefined ? {} : { raw }),
  }
}
