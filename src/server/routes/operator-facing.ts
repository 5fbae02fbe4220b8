import { z } from 'zod'
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
  resourceDetail,
  resourceList,
} from '../../wire/index.ts'
import { Refusal } from '../http/refusal.ts'
import { route, type Route } from '../http/route.ts'
import { guestFacingRoutes } from './guest-facing.ts'
import { page } from './page.ts'
import { applyDocuments } from '../services/apply.ts'
import type { VerifierDeps } from '../services/deps.ts'
import { activateNode, approveNode, suspendNode } from '../services/node-operations.ts'
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

const APPLY_LIMIT = 4 << 20

export function operatorFacingRoutes(deps: VerifierDeps): readonly Route[] {
  return [...nodeRoutes(deps), ...attestationRoutes(deps), ...resourceRoutes(deps), ...guestFacingRoutes(deps)]
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

function attestationRoutes({ store }: VerifierDeps): readonly Route[] {
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
        handle: async () => ({ items: (await ofKind(kind)).map(resourceSummaryOf) }),
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
          return { ...resourceSummaryOf(resource), document: resource.document }
        },
      }),
    ]),
    route({
      method: 'PUT',
      path: '/v1/resources',
      operation: 'applyResources',
      summary: 'Store policies and reference sets as the newest revisions of their names; all of them, or none.',
      access: 'operator',
      body: applyRequest,
      bodyLimit: APPLY_LIMIT,
      answer: applyResult,
      codes: ['policy.invalid', 'policy.ambiguous', 'resource.raced'],
      handle: ({ body, actor }) => applyDocuments(deps, body.documents, actor),
    }),
  ]
}
