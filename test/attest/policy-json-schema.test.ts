import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fastify from 'fastify'
import { parseAllDocuments } from 'yaml'
import { fieldsAt, jsonSchemaOf } from '../../src/attest/policy-json-schema.ts'
import type { Kind } from '../../src/attest/policy-json-schema.ts'

const FOLDER = join(import.meta.dirname, '..', '..', 'policies')
const KINDS = ['AttestationPolicy', 'ReferenceSet', 'PolicyException'] as const

/** Documents as an editor reads them: numbers and truth values are what they look like. */
function documentsOf(text: string): unknown[] {
  const documents = parseAllDocuments(text)
  return Array.isArray(documents) ? documents.map((document) => document.toJS() as unknown) : []
}

/** What a validator by others, of JSON Schema draft 7, says of a document: nothing, or what is wrong. */
async function validate(kind: Kind, document: unknown): Promise<string> {
  const app = fastify({ ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false } } })
  app.post('/', { schema: { body: jsonSchemaOf(kind) } }, () => 'valid')
  const { statusCode, payload } = await app.inject({
    method: 'POST',
    url: '/',
    payload: JSON.stringify(document),
    headers: { 'content-type': 'application/json' },
  })
  await app.close()
  return statusCode === 200 ? '' : payload
}

for (const kind of KINDS) {
  test(`policies/schema/${kind}.json is what ${kind} documents are read by; scripts/docs/policy-schemas.ts writes it`, () => {
    const file = readFileSync(join(FOLDER, 'schema', `${kind}.json`), 'utf8')
    assert.equal(file, `${JSON.stringify(jsonSchemaOf(kind), null, 2)}\n`)
  })
}

for (const name of readdirSync(FOLDER).filter((each) => each.endsWith('.yaml'))) {
  test(`${name} is valid by its schema, as an editor reads it`, async () => {
    const documents = documentsOf(readFileSync(join(FOLDER, name), 'utf8')).filter((each) => each !== null)
    assert.ok(documents.length > 0)
    for (const document of documents) {
      const kind = KINDS.find((each) => (document as { kind: string }).kind === each)
      assert.ok(kind)
      assert.equal(await validate(kind, document), '')
    }
  })
}

const policy = (spec: string) =>
  documentsOf(
    `apiVersion: touchstone/v1\nkind: AttestationPolicy\nmetadata: { name: a }\nspec: { pcrs: "sha256:0-15", ${spec} }`,
  )[0]

test('scalars that editors make numbers or truth values of are no faults', async () => {
  for (const spec of [
    'secureBoot: { enabled: { is: true } }',
    'secureBoot: { enabled: { is: "true", sets: 33 } }',
    'firmware: { version: { anyOf: [1.10, no, 0x1f], atLeast: 1.2 } }',
    'boot: { attempts: { anyOf: [1] }, order: { anyOf: ["0001"] } }',
    'clock: { restarts: { atMost: 3 } }',
  ]) {
    assert.equal(await validate('AttestationPolicy', policy(spec)), '', spec)
  }
})

test('a spelling mistake is a fault in the editor already', async () => {
  for (const spec of [
    'secureboot: { enabled: { is: true } }',
    'secureBoot: { enabled: { is: true, onFailur: warn } }',
    'secureBoot: { enabled: { is: false } }',
    'secureBoot: { enabled: { is: true, onFailure: ignore } }',
    'rules: [{ name: a, expresion: "true" }]',
    'pcr: { "24": { anyOf: [] } }',
  ]) {
    assert.notEqual(await validate('AttestationPolicy', policy(spec)), '', spec)
  }
})

test('the fields of any place of a document are known', () => {
  assert.deepEqual(fieldsAt('AttestationPolicy', []), ['apiVersion', 'kind', 'metadata', 'spec'])
  assert.ok(fieldsAt('AttestationPolicy', ['spec', 'secureBoot', 'enabled']).includes('onFailure'))
  assert.ok(fieldsAt('AttestationPolicy', ['spec', 'rules', 3]).includes('expression'))
  assert.ok(fieldsAt('AttestationPolicy', ['spec', 'pcr', '7']).includes('references'))
  assert.ok(fieldsAt('ReferenceSet', ['spec', 'entries', 0]).includes('state'))
  assert.deepEqual(fieldsAt('AttestationPolicy', ['spec', 'nowhere', 'at', 'all']), [])
})
