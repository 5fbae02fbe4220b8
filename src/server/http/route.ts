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

interface Limits {
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
>({ onboarding, ...definition }: RouteDefinition<Access, P, Q, B, A> & Limits): Route {
  return { ...defineRoute(definition), ...(onboarding === undefined ? {} : { onboarding }) }
}
