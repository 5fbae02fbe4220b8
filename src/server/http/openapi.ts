import { MEDIA, openApiOf } from '../../wire/index.ts'
import type { Route } from './route.ts'

/** OpenAPI 3.1 of the verifier's route table. */
export function openApiDocument(routes: readonly Route[], version: string): Record<string, unknown> {
  return openApiOf(routes, {
    title: 'Touchstone verifier',
    version,
    description:
      'Admits nodes, appraises their evidence, issues certificates and results. Every body is JSON or, as application/cbor, the same in CBOR with bytes as byte strings.',
    media: [MEDIA.json, MEDIA.cbor],
    codes: {
      any: ['http.invalid', 'http.not_acceptable', 'http.rate_limited', 'http.internal'],
      withBody: ['http.media_type', 'http.body_too_large', 'decode.value'],
    },
    security: {
      schemes: {
        operator: { type: 'http', scheme: 'bearer', description: 'A token made by `touchstone token create`.' },
      },
      needs: (access) =>
        access === 'public' || access === 'node' ? undefined : { security: [{ operator: [] }], 'x-role': access },
      codes: ['auth.missing', 'auth.invalid', 'auth.forbidden'],
    },
  })
}
