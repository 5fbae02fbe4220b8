import { z } from 'zod'
import {
  approvedReleaseList,
  grantAnswer,
  guestId,
  migrationRequest,
  placementAnswer,
  placementApproval,
  placementList,
  placementQuery,
  placementRequest,
  releaseApproval,
  restoreRequest,
} from '../../wire/index.ts'
import { Refusal } from '../http/refusal.ts'
import { route, type Route } from '../http/route.ts'
import type { VerifierDeps } from '../services/deps.ts'
import {
  approveGuestEk,
  migrateGuest,
  placeGuest,
  placementOf,
  removePlacement,
  restoreGuest,
} from '../services/placements.ts'
import { approveRelease, listReleases } from '../services/releases.ts'
import { page } from './page.ts'

const byGuest = z.object({ guest: guestId })
const byId = z.object({ id: z.uuid() })

/** What operators decide of guests: where they run, what of them may move, and what their nodes may boot. */
export function guestFacingRoutes(deps: VerifierDeps): readonly Route[] {
  return [...placementRoutes(deps), ...grantRoutes(deps), ...releaseRoutes(deps)]
}

function placementRoutes(deps: VerifierDeps): readonly Route[] {
  const { store } = deps
  return [
    route({
      method: 'GET',
      path: '/v1/placements',
      operation: 'listPlacements',
      summary: 'Which guest may run on which node, by guest.',
      access: 'viewer',
      query: placementQuery,
      answer: placementList,
      handle: async ({ query: { node, limit, after } }) =>
        page(
          await store.placements.list({
            limit: limit + 1,
            ...(node === undefined ? {} : { nodeId: node }),
            ...(after === undefined ? {} : { after }),
          }),
          limit,
          placementOf,
          ({ guest }) => guest,
        ),
    }),
    route({
      method: 'GET',
      path: '/v1/placements/:guest',
      operation: 'getPlacement',
      summary: 'Where one guest may run; also one that was removed.',
      access: 'viewer',
      params: byGuest,
      answer: placementAnswer,
      codes: ['placement.not_found'],
      handle: async ({ params: { guest } }) => {
        const found = await store.placements.byGuest(guest)
        if (found === undefined) throw new Refusal('placement.not_found')
        return { placement: placementOf(found) }
      },
    }),
    route({
      method: 'POST',
      path: '/v1/placements',
      operation: 'placeGuest',
      summary:
        'Let a guest run on a node; one that runs elsewhere is to be moved, and the answer holds the grant for it.',
      access: 'operator',
      body: placementRequest,
      answer: placementAnswer,
      codes: ['node.not_found', 'node.state', 'placement.state', 'grant.destination', 'release.no_roots'],
      handle: ({ body: { guest, node, tenant }, actor }) => placeGuest(deps, { guest, node, tenant, actor }),
    }),
    route({
      method: 'POST',
      path: '/v1/placements/:guest/remove',
      operation: 'removePlacement',
      summary: 'Let a guest run nowhere any more.',
      access: 'operator',
      params: byGuest,
      answer: placementAnswer,
      codes: ['placement.not_found'],
      handle: ({ params: { guest }, actor }) => removePlacement(deps, { guest, actor }),
    }),
    route({
      method: 'POST',
      path: '/v1/placements/:guest/approve',
      operation: 'approveGuestEk',
      summary: "Let another endorsement key be this guest's: its vTPM was made anew.",
      access: 'operator',
      params: byGuest,
      body: placementApproval,
      answer: placementAnswer,
      codes: ['placement.not_found', 'placement.state'],
      handle: ({ params: { guest }, body: { ekSha256 }, actor }) => approveGuestEk(deps, { guest, actor, ekSha256 }),
    }),
  ]
}

function grantRoutes(deps: VerifierDeps): readonly Route[] {
  const codes = [
    'placement.not_found',
    'placement.state',
    'node.not_found',
    'grant.destination',
    'release.no_roots',
  ] as const
  return [
    route({
      method: 'POST',
      path: '/v1/migrations',
      operation: 'migrateGuest',
      summary: 'Let a guest move to another node, whose TPM alone its state is then wrapped to.',
      access: 'operator',
      body: migrationRequest,
      answer: grantAnswer,
      codes,
      handle: ({ body: { guest, node }, actor }) => migrateGuest(deps, { guest, node, actor }),
    }),
    route({
      method: 'POST',
      path: '/v1/restores',
      operation: 'restoreGuest',
      summary: 'Let one backup go on as the guest, at a generation above all that were seen.',
      access: 'operator',
      body: restoreRequest,
      answer: grantAnswer,
      codes,
      handle: ({ body: { guest, node, digest, generation }, actor }) =>
        restoreGuest(deps, { guest, node, digest, generation, actor }),
    }),
  ]
}

function releaseRoutes(deps: VerifierDeps): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/nodes/:id/releases',
      operation: 'listReleases',
      summary: "The register values under which a node's secrets open, newest first.",
      access: 'viewer',
      params: byId,
      answer: approvedReleaseList,
      codes: ['node.not_found', 'release.no_roots'],
      handle: ({ params: { id } }) => listReleases(deps, id),
    }),
    route({
      method: 'POST',
      path: '/v1/nodes/:id/releases',
      operation: 'approveRelease',
      summary: "Let a node's secrets open under other registers, before it boots into them.",
      access: 'operator',
      params: byId,
      body: releaseApproval,
      answer: approvedReleaseList,
      codes: [
        'node.not_found',
        'release.no_roots',
        'release.number',
        'release.offline',
        'release.unquoted',
        'grant.destination',
      ],
      handle: ({ params: { id }, body, actor }) => approveRelease(deps, { nodeId: id, actor, approval: body }),
    }),
  ]
}
