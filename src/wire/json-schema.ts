import { z } from 'zod'
import { byteSizes } from './bytes.ts'

/**
 * JSON Schema (2020-12) of a body as it travels. Bytes are described by their JSON spelling; in CBOR they are byte
 * strings. What a schema fills in by default is optional here.
 */
export function wireJsonSchema(schema: z.ZodType): Record<string, unknown> {
  const json = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      const size = byteSizes.get(zodSchema)
      if (size === undefined) return
      delete jsonSchema.anyOf
      jsonSchema.type = 'string'
      jsonSchema.contentEncoding = 'base64url'
      jsonSchema.description = `${size.min} to ${size.max} bytes: base64url without padding in JSON, a byte string in CBOR`
    },
  })
  delete json.$schema
  return json
}
