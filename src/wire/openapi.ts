import { type ErrorCode, ERRORS } from '../core/index.ts'
import { wireJsonSchema } from './json-schema.ts'
import { MEDIA } from './media.ts'
import { problem } from './problem.ts'
import type { Route } from './route.ts'

type Json = Record<string, unknown>

/** What a document says beside its routes. */
export interface ApiDescription<Access extends string> {
  readonly title: string
  readonly version: string
  readonly description: string
  /** Media types that bodies come in, all with one schema. */
  readonly media: readonly string[]
  /** Codes that any route may answer with, and those that any with a body may. */
  readonly codes: { readonly any: readonly ErrorCode[]; readonly withBody: readonly ErrorCode[] }
  /** Where some routes need credentials: the schemes, what a route of that access needs, and its refusals. */
  readonly security?: {
    readonly schemes: Json
    readonly needs: (access: Access) => Json | undefined
    readonly codes: readonly ErrorCode[]
  }
}

/** OpenAPI 3.1 of a route table, made of the very schemas that read the requests. */
export function openApiOf<Access extends string>(
  routes: readonly Route<Access>[],
  description: ApiDescription<Access>,
): Json {
  const paths: Record<string, Json> = {}
  for (const route of routes) {
    const path = route.path.replaceAll(/:([A-Za-z]+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route, description) }
  }
  const { title, version, security } = description
  return {
    openapi: '3.1.0',
    info: { title, version, description: description.description },
    paths,
    components: {
      schemas: { Problem: wireJsonSchema(problem) },
      ...(security === undefined ? {} : { securitySchemes: security.schemes }),
    },
  }
}

function operationOf<Access extends string>(
  route: Route<Access>,
  { media, codes, security }: ApiDescription<Access>,
): Json {
  const { params, query, body, answer } = route.schemas
  const parameters = [...parametersOf('path', params), ...parametersOf('query', query)]
  const needs = security?.needs(route.access)
  const content = (schema: Json) => Object.fromEntries(media.map((type) => [type, { schema }]))
  return {
    operationId: route.operation,
    summary: route.summary,
    ...needs,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: content(wireJsonSchema(body)) } }),
    responses: {
      200: { description: 'Done', content: content(wireJsonSchema(answer)) },
      ...problemsOf([
        ...(route.codes ?? []),
        ...codes.any,
        ...(body === undefined ? [] : codes.withBody),
        ...(needs === undefined ? [] : (security?.codes ?? [])),
      ]),
    },
  }
}

function parametersOf(place: 'path' | 'query', schema: Route<string>['schemas']['params']): Json[] {
  if (schema === undefined) return []
  const { properties, required } = wireJsonSchema(schema)
  const names = Array.isArray(required) ? required : []
  return Object.entries(properties ?? {}).map(([name, type]) => ({
    name,
    in: place,
    required: place === 'path' || names.includes(name),
    schema: type as unknown,
  }))
}

function problemsOf(codes: readonly ErrorCode[]): Json {
  const byStatus = Map.groupBy(new Set(codes), (code) => ERRORS[code].status)
  return Object.fromEntries(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, list]) => [
        status,
        {
          description: list.map((code) => `\`${code}\`: ${ERRORS[code].title}`).join('\n\n'),
          content: { [MEDIA.problem]: { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      ]),
  )
}
