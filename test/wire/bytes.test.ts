import assert from 'node:assert/strict'
import test from 'node:test'
import { bytesSchema, hexSchema, onboardingBegin, wireJsonSchema } from '../../src/wire/index.ts'

test('bytes are read from a byte string and from base64url without padding', () => {
  const schema = bytesSchema(4)
  assert.deepEqual(schema.parse(Uint8Array.of(1, 2)), Buffer.from([1, 2]))
  assert.deepEqual(schema.parse('AQI'), Buffer.from([1, 2]))
})

for (const [what, value] of [
  ['padding', 'AQI='],
  ['standard base64', '+/+/'],
  ['unused low bits', 'AQJ'],
  ['more bytes than allowed', 'AQIDBAU'],
  ['no bytes', ''],
  ['a number', 7],
] as const) {
  test(`refuses ${what}`, () => {
    assert.equal(bytesSchema(4).safeParse(value).success, false)
  })
}

test('a digest has one spelling', () => {
  assert.equal(hexSchema(2).safeParse('abcd').success, true)
  for (const text of ['ABCD', 'abc', 'abcdef', 'abcg']) assert.equal(hexSchema(2).safeParse(text).success, false, text)
})

test('the document describes bytes by their JSON spelling, and defaults as optional', () => {
  const schema = wireJsonSchema(onboardingBegin)
  const { properties, required } = schema as { properties: Record<string, Record<string, unknown>>; required: string[] }
  assert.equal(properties['ekPublic']?.['contentEncoding'], 'base64url')
  assert.equal(properties['ekPublic']['type'], 'string')
  assert.ok(!required.includes('ekChain'))
})
