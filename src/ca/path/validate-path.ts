import type { Brand } from '../../core/index.ts'
import { isTouchstoneError } from '../../core/index.ts'
import type { Certificate } from './certificate.ts'
import { chainFailure, malformedIsFailure } from './check-chain.ts'
import type { ChainOptions, PathFailure, PathFailureCode } from './check-chain.ts'
import { authorityKeyIdOf, subjectKeyIdOf } from './extensions.ts'
import { describeName, isSameName } from './name.ts'
import { signatureProblem, signedBytesOf } from './signature.ts'

/** Leaf first, anchor last: a chain that {@link validatePath} found good. */
export type ValidPath = Brand<readonly Certificate[], 'ValidPath'>

export interface PathOptions extends ChainOptions {
  readonly leaf: Certificate
  /** Material for a path, never trust: in any order, with any number of strangers among them. */
  readonly intermediates: readonly Certificate[]
  /** What is trusted. They need not be self-signed; the leaf being among them is not a path. */
  readonly anchors: readonly Certificate[]
}

export type PathResult =
  { readonly ok: true; readonly path: ValidPath } | { readonly ok: false; readonly failure: PathFailure }

/** Certificates of a path, leaf and anchor included. Known chains of TPM vendors have at most five. */
const MAX_CERTIFICATES = 8
/** Signatures verified for one leaf. Certificates that share names cannot make the search exponential. */
const MAX_SIGNATURES = 64

interface Search {
  readonly options: PathOptions
  signatures: number
  /** The failure that came furthest, by `weight`. */
  worst: { readonly weight: number; readonly failure: PathFailure } | undefined
}

/**
 * Finds a certification path from the leaf to an anchor and validates it by RFC 5280 section 6.1. A search, because
 * authorities are cross-certified and re-keyed under one name: the first path that holds wins. When none does, the answer
 * is the failure of the attempt that came furthest. Revocation is not looked at, and nothing is fetched.
 * Never throws for what a certificate contains.
 */
export function validatePath(options: PathOptions): PathResult {
  const search: Search = { options, signatures: 0, worst: undefined }
  const path = extend(search, [options.leaf])
  // A valid path is made here and nowhere else.
  if (path !== undefined) return { ok: true, path: path as ValidPath }
  return { ok: false, failure: search.worst?.failure ?? failureAt('path.no_issuer', options.leaf) }
}

function extend(search: Search, path: readonly [Certificate, ...Certificate[]]): readonly Certificate[] | undefined {
  const { anchors, intermediates } = search.options
  const last = path[path.length - 1] ?? path[0]
  note(search, path.length, missingIssuer(last))
  for (const anchor of issuersOf(last, anchors)) {
    if (anchor.der.equals(last.der) || !signedBy(search, path.length, last, anchor)) continue
    const chain = [...path, anchor]
    const failure = chainFailure(chain, search.options)
    if (failure === undefined) return chain
    // A whole chain to an anchor says more than any dead end.
    note(search, 1000 + path.length, failure)
  }
  if (path.length + 2 > MAX_CERTIFICATES) {
    note(search, 500, failureAt('path.too_complex', last))
    return undefined
  }
  for (const issuer of issuersOf(last, intermediates)) {
    if (path.some((seen) => isSameAuthority(seen, issuer))) continue
    if (!signedBy(search, path.length, last, issuer)) continue
    const found = extend(search, [...path, issuer])
    if (found !== undefined) return found
  }
  return undefined
}

/** Those that bear the issuer's name; whose key identifier fits come first. The identifier is a hint, not evidence. */
function issuersOf(certificate: Certificate, pool: readonly Certificate[]): readonly Certificate[] {
  const named = pool.filter((candidate) => isSameName(candidate.subject, certificate.issuer))
  if (named.length < 2) return named
  const wanted = orUndefined(() => authorityKeyIdOf(certificate))
  if (wanted === undefined) return named
  const fits = (candidate: Certificate) => orUndefined(() => subjectKeyIdOf(candidate))?.equals(wanted) === true
  return [...named.filter(fits), ...named.filter((candidate) => !fits(candidate))]
}

function signedBy(search: Search, depth: number, certificate: Certificate, issuer: Certificate): boolean {
  if (++search.signatures > MAX_SIGNATURES) {
    note(search, 500, failureAt('path.too_complex', certificate))
    return false
  }
  const failure = malformedIsFailure(() => {
    const problem = signatureProblem(signedBytesOf(certificate), issuer, search.options)
    return problem === undefined ? undefined : { code: problem }
  })
  if (failure === undefined) return true
  const atFault = failure.code === 'path.key' ? issuer : certificate
  note(search, depth + 0.5, { ...failure, certificate: describeName(atFault.subject) })
  return false
}

/** The same name with the same key: passing it twice would be a loop. */
function isSameAuthority(a: Certificate, b: Certificate): boolean {
  return isSameName(a.subject, b.subject) && a.spki.equals(b.spki)
}

function note(search: Search, weight: number, failure: PathFailure): void {
  if (search.worst === undefined || weight > search.worst.weight) search.worst = { weight, failure }
}

function failureAt(code: PathFailureCode, certificate: Certificate): PathFailure {
  return { code, certificate: describeName(certificate.subject) }
}

function missingIssuer(certificate: Certificate): PathFailure {
  return { ...failureAt('path.no_issuer', certificate), expected: describeName(certificate.issuer) }
}

function orUndefined<T>(read: () => T | undefined): T | undefined {
  try {
    return read()
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
    return undefined
  }
}
