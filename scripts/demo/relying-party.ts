import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from 'jose'
import { z } from 'zod'
import type { Verifier } from '../stage/fleet.ts'

const claims = z.looseObject({
  eat_profile: z.string(),
  cnf: z.object({ jkt: z.string() }),
  submods: z.record(z.string(), z.looseObject({ ear_status: z.string() })),
})

/**
 * What a service does that must decide whether to talk to a box: it knows the verifier's published key set and nothing
 * else of Touchstone.
 */
export async function verifyAsRelyingParty(verifier: Verifier, token: string | undefined) {
  if (token === undefined) throw new Error('the attestation has no result')
  const keys = createLocalJWKSet((await verifier.get('/.well-known/jwks.json')) as JSONWebKeySet)
  const { payload } = await jwtVerify(token, keys, { algorithms: ['ES256'] })
  const { eat_profile, cnf, submods } = claims.parse(payload)
  const [[name, result] = []] = Object.entries(submods)
  const minutes = Math.round(((payload.exp ?? 0) - (payload.iat ?? 0)) / 60)
  return {
    summary: `${name ?? ''} is ${result?.ear_status ?? 'unknown'}, for ${minutes} minutes (${eat_profile})`,
    confirmation: `the device key with thumbprint ${cnf.jkt}`,
  }
}
