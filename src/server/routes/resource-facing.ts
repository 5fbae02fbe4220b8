import { z } from 'zod'
import {
  exceptionDetail,
  exceptionEnded,
  exceptionEnding,
  exceptionList,
  excusedPage,
  excusedQuery,
  nodeDetail,
  nodeLabels,
  referencePromoted,
  referencePromotion,
  resourceHistory,
} from '../../wire/index.ts'
import { Refusal } from '../http/refusal.ts'
import { route, type Route } from '../http/route.ts'
import type { VerifierDeps } from '../services/deps.ts'
import { endExceptionNow, excusedBy } from '../services/exception-life.ts'
import { labelNode } from '../services/node-labels.ts'
import { KINDS } from '../services/policies.ts'
import { historyOf, promoteReferences } from '../services/reference-life.ts'
import { exceptionSummaryOf, nodeDetailOf } from '../services/views.ts'

/** A value may be a command line of 64 KiB; 32 labels are a few. */
const PROMOTION_LIMIT = 256 << 10
const LABELS_LIMIT = 32 << 10

const byId = z.object({ id: z.uuid() })
const byName = z.object({ name: z.string() })

/** What changes in the life of references, exceptions and labels. */
export function resourceFacingRoutes(deps: VerifierDeps): readonly Route[] {
  return [...historyRoutes(deps), ...exceptionRoutes(deps), promotionRoute(deps), labelRoute(deps)]
}

function historyRoutes(deps: VerifierDeps): readonly Route[] {
  return (
    [
      ['policies', 'Policy', KINDS.policy],
      ['references', 'ReferenceSet', KINDS.references],
      ['exceptions', 'Exception', KINDS.exceptions],
    ] as const
  ).map(([path, one, kind]) =>
    route({
      method: 'GET',
      path: `/v1/${path}/:name/history`,
      operation: `get${one}History`,
      summary: 'Who changed the document when and why, newest first.',
      access: 'viewer',
      params: byName,
      answer: resourceHistory,
      codes: ['resource.not_found'],
      handle: ({ params }) => historyOf(deps, kind, params.name),
    }),
  )
}

function exceptionRoutes(deps: VerifierDeps): readonly Route[] {
  const { policies, clock } = deps
  const all = async () =>
    (await policies.current('fresh')).resources.flatMap((resource) => {
      const { parsed, document } = resource
      if (parsed.kind !== KINDS.exceptions) return []
      return [{ ...exceptionSummaryOf(resource, parsed, clock.now()), document }]
    })
  return [
    route({
      method: 'GET',
      path: '/v1/exceptions',
      operation: 'listExceptions',
      summary: 'Exceptions to rules, by name, those that have expired among them.',
      access: 'viewer',
      answer: exceptionList,
      handle: async () => ({ items: (await all()).map(({ document: _, ...summary }) => summary) }),
    }),
    route({
      method: 'GET',
      path: '/v1/exceptions/:name',
      operation: 'getException',
      summary: 'The exception of that name, with its document.',
      access: 'viewer',
      params: byName,
      answer: exceptionDetail,
      codes: ['resource.not_found'],
      handle: async ({ params }) => {
        const found = (await all()).find(({ name }) => name === params.name)
        if (found === undefined) throw new Refusal('resource.not_found')
        return found
      },
    }),
    route({
      method: 'GET',
      path: '/v1/exceptions/:name/excused',
      operation: 'getExcused',
      summary: 'What the exception is about at present, by the newest verdict of each node; a page of nodes at a time.',
      access: 'viewer',
      params: byName,
      query: excusedQuery,
      answer: excusedPage,
      codes: ['resource.not_found'],
      handle: ({ params, query }) => excusedBy(deps, { ...query, name: params.name }),
    }),
    route({
      method: 'POST',
      path: '/v1/exceptions/:name/end',
      operation: 'endException',
      summary: 'End the exception now: a new revision of its document, otherwise unchanged.',
      access: 'operator',
      params: byName,
      body: exceptionEnding,
      answer: exceptionEnded,
      codes: ['resource.not_found', 'resource.from_file', 'resource.raced', 'reference.unfit'],
      handle: ({ params, body, actor }) => endExceptionNow(deps, { ...body, name: params.name, actor }),
    }),
  ]
}

function promotionRoute(deps: VerifierDeps): Route {
  return route({
    method: 'POST',
    path: '/v1/references/:name/promote',
    operation: 'promoteReferences',
    summary: 'Give values of a set another state: a new revision of its document, otherwise unchanged.',
    access: 'operator',
    params: byName,
    body: referencePromotion,
    bodyLimit: PROMOTION_LIMIT,
    answer: referencePromoted,
    codes: ['resource.not_found', 'resource.from_file', 'resource.raced', 'reference.not_found', 'reference.unfit'],
    handle: ({ params, body, actor }) => promoteReferences(deps, { ...body, name: params.name, actor }),
  })
}

function labelRoute(deps: VerifierDeps): Route {
  const { store, clock, settings } = deps
  return route({
    method: 'PATCH',
    path: '/v1/nodes/:id/labels',
    operation: 'labelNode',
    summary: 'Set labels of a node, or take them away (null); the others stay.',
    access: 'operator',
    params: byId,
    body: nodeLabels,
    bodyLimit: LABELS_LIMIT,
    answer: nodeDetail,
    codes: ['node.not_found', 'node.labels'],
    handle: async ({ params, body, actor }) => {
      await labelNode(deps, { nodeId: params.id, labels: body.labels, actor })
      const node = await store.nodes.byId(params.id)
      if (node === undefined) throw new Refusal('node.not_found')
      return nodeDetailOf(store, node, { now: clock.now(), resultLifetime: settings.resultLifetime })
    },
  })
}
