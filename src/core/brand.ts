declare const brand: unique symbol

/**
 * A value that one function has checked. Only that function may make it (by assertion, in its own file), so a signature
 * that asks for `Brand<…>` cannot be given unchecked input.
 */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name }

/** A verifier-minted UUIDv7; see `parseNodeId`. */
export type NodeId = Brand<string, 'NodeId'>

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** Accepts the lower-case UUIDv7 spelling only, so that one node has one name. */
export function parseNodeId(text: string): NodeId | undefined {
  return UUID.test(text) ? (text as NodeId) : undefined
}
