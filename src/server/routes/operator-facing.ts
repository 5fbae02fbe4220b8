import { z } from 'zod'
import { EAR_MEDIA, EAR_PROFILES } from '../../attest/index.ts'
import {
  applyRequest,
  applyResult,
  attestationDetail,
  attestationList,
  attestationQuery,
  LIMITS,
  nodeApproval,
  nodeDetail,
  nodeList,
  nodeQuery,
  nodeResult,
  recomputed,
  resourceDetail,
  resourceList,
  resultQuery,
  verdictExplanation,
  whatIfPage,
  whatIfRequest,
} from '../../wire/index.ts'
import { Refusal } from '../http/refusal.ts'
import { type RawAnswer, route, type Route } from '../http/route.ts'
import { guestFacingRoutes } from './guest-facing.ts'
import { page } from './page.ts'
import { resourceFacingRoutes } from './resource-facing.ts'
import { applyDocuments } from '../services/apply.ts'
import type { VerifierDeps } from '../services/deps.ts'
import { activateNode, approveNode, suspendNode } from '../services/node-operations.ts'
import { explainAttestation } from '../services/explaining.ts'
import { recompute } from '../services/recomputing.ts'
import { resultOfNode } from '../services/result.ts'
import { whatIf } from '../services/what-if.ts'
import { KINDS } from '../services/policies.ts'
import {
  attestationDetailOf,
  attestationSummaryOf,
  nodeDetailOf,
  nodeSummaryOf,
  resourceSummaryOf,
} from '../services/views.ts'

const byId = z.object({ id: z.uuid() })
const byName = z.object({ name: z.string() })

const PROFILES_BY_URI = new Map<string, string>(Object.entries(EAR_PROFILES).map(([name, { uri }]) => [uri, name]))

/** RFC 9782: one media type for each serialisation, whose parameter names the profile. */
const RESULT_MEDIA: readonly RawAnswer[] = (['jwt', 'cwt'] as const).map((format) => ({
  media: EAR_MEDIA[format],
  query: (parameters) => {
    const uri = parameters.get('eat_profile')
    const profile = uri === undefined ? undefined : PROFILES_BY_URI.get(uri)
    if (uri !== undefined && profile === undefined) return undefined
    return { format, ...(profile === undefined ? {} : { profile }) }
  },
  body: (answer) => {
    const { result } = nodeResult.parse(answer)
    return format === 'cwt' ? Buffer.from(result, 'base64url') : Buffer.from(result, 'ascii')
  },
}))

const APPLY_LIMIT = 48 << 20

export function operatorFacingRoutes(deps: VerifierDeps): readonly Route[] {
  return [
    ...nodeRoutes(deps),
    ...attestationRoutes(deps),
    ...resourceRoutes(deps),
    ...resourceFacingRoutes(deps),
    ...guestFacingRoutes(deps),
  ]
}

function nodeRoutes(deps: VerifierDeps): readonly Route[] {
  const { store, clock, settings } = deps
  const freshness = () => ({ now: clock.now(), resultLifetime: settings.resultLifetime })
  const detail = async (id: string) => {
    const node = await store.nodes.byId(id)
    if (node === undefined) throw new Refusal('node.not_found')
    return nodeDetailOf(store, node, freshness())
  }
  return [
    route({
      method: 'GET',
      path: '/v1/nodes',
      operation: 'listNodes',
      summary: 'Nodes, newest first.',
      access: 'viewer',
      query: nodeQuery,
      answer: nodeList,
      handle: async ({ query: { status, limit, after } }) =>
        page(
          await store.nodes.list({
            limit: limit + 1,
            ...(status === undefined ? {} : { status }),
            ...(after === undefined ? {} : { after }),
          }),
          limit,
          (node) => nodeSummaryOf(node, freshness()),
          (node) => node.nodeId,
        ),
    }),
    route({
      method: 'GET',
      path: '/v1/nodes/:id',
      operation: 'getNode',
      summary: 'Everything known of one node.',
      access: 'viewer',
      params: byId,
      answer: nodeDetail,
      codes: ['node.not_found'],
      handle: ({ params }) => detail(params.id),
    }),
    route({
      method: 'GET',
      path: '/v1/nodes/:id/result',
      operation: 'getNodeResult',
      summary:
        'The newest verdict as an EAR token, for a relying party that asks the verifier itself. Accept may name ' +
        'application/eat+jwt or application/eat+cwt, with eat_profile; then the token alone is answered.',
      access: 'viewer',
      params: byId,
      query: resultQuery,
      answer: nodeResult,
      codes: ['node.not_found', 'result.none', 'result.stale', 'result.nonce'],
      raw: RESULT_MEDIA,
      handle: async ({ params, query: { profile, format, audience, nonce } }) => ({
        format,
        result: await resultOfNode(deps, params.id, { profile, format, audience, relyingPartyNonce: nonce }),
      }),
    }),
    route({
      method: 'POST',
      path: '/v1/nodes/:id/approve',
      operation: 'approveNode',
      summary: 'Let a pending node in, or let an enrolled one take the keys it asks for.',
      access: 'operator',
      params: byId,
      body: nodeApproval,
      bodyLimit: LIMITS.structure,
      answer: nodeDetail,
      codes: ['node.not_found', 'node.state', 'onboarding.identity_claimed'],
      handle: async ({ params, body, actor }) => {
        await approveNode(deps, { nodeId: params.id, actor, replaces: body.replaces, akName: body.akName })
        return detail(params.id)
      },
    }),
    ...(
      [
        ['suspend', suspendNode, 'Refuse a node from now on, whatever it brings.'],
        ['activate', activateNode, 'Let a suspended node work again.'],
      ] as const
    ).map(([name, operation, summary]) =>
      route({
        method: 'POST',
        path: `/v1/nodes/:id/${name}`,
        operation: `${name}Node`,
        summary,
        access: 'operator',
        params: byId,
        answer: nodeDetail,
        codes: ['node.not_found', 'node.state'],
        handle: async ({ params, actor }) => {
          await operation(deps, { nodeId: params.id, actor })
          return detail(params.id)
        },
      }),
    ),
  ]
}

function attestationRoutes(deps: VerifierDeps): readonly Route[] {
  const { store } = deps
  return [
    route({
      method: 'GET',
      path: '/v1/attestations',
      operation: 'listAttestations',
      summary: 'Verdicts, newest first.',
      access: 'viewer',
      query: attestationQuery,
      answer: attestationList,
      handle: async ({ query: { node, status, limit, after } }) =>
        page(
          await store.attestations.list({
            limit: limit + 1,
            ...(node === undefined ? {} : { node }),
            ...(status === undefined ? {} : { status }),
            ...(after === undefined ? {} : { after }),
          }),
          limit,
          attestationSummaryOf,
          (row) => row.id,
        ),
    }),
    route({
      method: 'GET',
      path: '/v1/attestations/:id',
      operation: 'getAttestation',
      summary: 'One verdict with every check, and what it depended on.',
      access: 'viewer',
      params: byId,
      answer: attestationDetail,
      codes: ['attestation.not_found'],
      handle: async ({ params }) => {
        const row = await store.attestations.byId(params.id)
        if (row === undefined) throw new Refusal('attestation.not_found')
        return attestationDetailOf(row)
      },
    }),
    route({
      method: 'GET',
      path: '/v1/attestations/:id/explanation',
      operation: 'explainAttestation',
      summary: 'Likely causes of a verdict, how the boot differs from the last good one, and what to do next.',
      access: 'viewer',
      params: byId,
      answer: verdictExplanation,
      codes: ['attestation.not_found'],
      handle: ({ params }) => explainAttestation(deps, params.id),
    }),
    route({
      method: 'POST',
      path: '/v1/attestations/:id/recompute',
      operation: 'recomputeAttestation',
      summary: 'Judge again what a verdict was made of, by what it was made by, and compare.',
      access: 'viewer',
      params: byId,
      answer: recomputed,
      codes: ['attestation.not_found'],
      handle: ({ params }) => recompute(deps, params.id),
    }),
  ]
}

function resourceRoutes(deps: VerifierDeps): readonly Route[] {
  const ofKind = async (kind: string) =>
    (await deps.policies.current('fresh')).resources.filter((resource) => resource.kind === kind)
  return [
    ...(
      [
        ['policies', 'Policies', 'Policy', KINDS.policy],
        ['references', 'References', 'ReferenceSet', KINDS.references],
      ] as const
    ).flatMap(([path, many, one, kind]) => [
      route({
        method: 'GET',
        path: `/v1/${path}`,
        operation: `list${many}`,
        summary: `${many} in force, by name.`,
        access: 'viewer',
        answer: resourceList,
        handle: async () => ({
          items: (await ofKind(kind)).map((resource) => resourceSummaryOf(resource, deps.clock.now())),
        }),
      }),
      route({
        method: 'GET',
        path: `/v1/${path}/:name`,
        operation: `get${one}`,
        summary: 'The document in force of that name.',
        access: 'viewer',
        params: byName,
        answer: resourceDetail,
        codes: ['resource.not_found'],
        handle: async ({ params }) => {
          const resource = (await ofKind(kind)).find(({ name }) => name === params.name)
          if (resource === undefined) throw new Refusal('resource.not_found')
          return { ...resourceSummaryOf(resource, deps.clock.now()), document: resource.document }
        },
      }),
    ]),
    route({
      method: 'POST',
      path: '/v1/what-if',
      operation: 'whatIf',
      summary: 'What would become of the fleet under these documents, a page of nodes at a time. Nothing is stored.',
      access: 'viewer',
      body: whatIfRequest,
      bodyLimit: APPLY_LIMIT,
      answer: whatIfPage,
      codes: ['policy.invalid', 'policy.ambiguous', 'policy.none'],
      handle: ({ body }) => whatIf(deps, body),
    }),
    route({
      method: 'PUT',
      path: '/v1/resources',
      operation: 'applyResources',
      summary:
        'Store policies, reference sets and exceptions as the newest revisions of their names; all of them, or none.',
      access: 'operator',
      body: applyRequest,
      bodyLimit: APPLY_LIMIT,
      answer: applyResult,
      codes: ['policy.invalid', 'policy.ambiguous', 'resource.raced'],
      handle: ({ body, actor }) => applyDocuments(deps, body.documents, actor, body.reason),
    }),
  ]
}
