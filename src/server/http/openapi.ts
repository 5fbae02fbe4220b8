import { type ErrorCode, ERRORS } from '../../core/index.ts'
import { MEDIA, problem, wireJsonSchema } from '../../wire/index.ts'
import type { Route } from './route.ts'

/** Codes that any route may answer with. */
const GENERAL: readonly ErrorCode[] = ['http.invalid', 'http.not_acceptable', 'http.rate_limited', 'http.internal']
const WITH_BODY: readonly ErrorCode[] = ['http.media_type', 'http.body_too_large', 'decode.value']
const WITH_ROLE: readonly ErrorCode[] = ['auth.missing', 'auth.invalid', 'auth.forbidden']

type Json = Record<string, unknown>

/** OpenAPI 3.1 of the route table, made of the very schemas that read the requests. */
export function openApiDocument(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Json> = {}
  for (const route of routes) {
    const path = route.path.replaceAll(/:([A-Za-z]+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Touchstone verifier',
      version,
      description:
        'Admits nodes, appraises their evidence, issues certificates and results. Every body is JSON or, as application/cbor, the same in CBOR with bytes as byte strings.',
    },
    paths,
    components: {
      schemas: { Problem: wireJsonSchema(problem) },
      securitySchemes: {
        operator: { type: 'http', scheme: 'bearer', description: 'A token made by `touchstone token create`.' },
      },
    },
  }
}

function operationOf(route: Route): Json {
  const { params, query, body, answer } = route.schemas
  const parameters = [...parametersOf('path', params), ...parametersOf('query', query)]
  const isOperators = route.access !== 'public' && route.access !== 'node'
  return {
    operationId: route.operation,
    summary: route.summary,
    ...(isOperators ? { security: [{ operator: [] }], 'x-role': route.access } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: inBothMedia(wireJsonSchema(body)) } }),
    responses: {
      200: { description: 'Done', content: inBothMedia(wireJsonSchema(answer)) },
      ...problemsOf([
        ...(route.codes ?? []),
        ...GENERAL,
        ...(body === undefined ? [] : WITH_BODY),
        ...(isOperators ? WITH_ROLE : []),
      ]),
    },
  }
}

function inBothMedia(schema: Json): Json {
  return { [MEDIA.json]: { schema }, [MEDIA.cbor]: { schema } }
}

function parametersOf(place: 'path' | 'query', schema: Route['schemas']['params']): Json[] {
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
