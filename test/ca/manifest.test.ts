import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseManifest } from '../../src/ca/manifest.ts'
import { isTouchstoneError } from '../../src/core/index.ts'

const A = 'a'.repeat(64)
const B = 'b'.repeat(64)

function manifest(nodes: string): string {
  return `apiVersion: touchstone/v1\nkind: Manifest\nmetadata:\n  name: batch-7\nspec:\n  nodes:\n${nodes}`
}

function refusal(text: string): string {
  try {
    parseManifest(text)
  } catch (error) {
    if (isTouchstoneError(error, 'manifest.invalid')) return error.message
    throw error
  }
  return 'accepted'
}

describe('a manifest', () => {
  test('finds a node by each of its EKs', () => {
    const text = manifest(`    - { model: E1, serial: "0007", eks: [${A}, ${B}], labels: { site: berlin } }\n`)
    const { name, byEk } = parseManifest(text)
    const node = { model: 'E1', serial: '0007', eks: [A, B], labels: { site: 'berlin' } }
    assert.equal(name, 'batch-7')
    assert.deepEqual([byEk.get(A), byEk.get(B)], [node, node])
  })

  test('keeps scalars as they are written: 0007 and 1.10 are serial numbers', () => {
    const text = manifest(
      `    - { model: yes, serial: 0007, eks: [${A}] }\n    - { model: "1.10", serial: 1e3, eks: [${B}] }\n`,
    )
    assert.deepEqual(
      parseManifest(text).nodes.map(({ model, serial }) => [model, serial]),
      [
        ['yes', '0007'],
        ['1.10', '1e3'],
      ],
    )
  })

  test('may be JSON', () => {
    const nodes = [{ model: 'E1', serial: '7', eks: [A] }]
    const text = JSON.stringify({
      apiVersion: 'touchstone/v1',
      kind: 'Manifest',
      metadata: { name: 'b' },
      spec: { nodes },
    })
    assert.equal(parseManifest(text).nodes.length, 1)
  })

  const cases: readonly (readonly [string, string, RegExp])[] = [
    [
      'an EK that two nodes list',
      `    - { model: E, serial: 1, eks: [${A}] }\n    - { model: E, serial: 2, eks: [${A}] }\n`,
      /nodes\.1\.eks/,
    ],
    [
      'a node that is listed twice',
      `    - { model: E, serial: 1, eks: [${A}] }\n    - { model: E, serial: 1, eks: [${B}] }\n`,
      /those of spec\.nodes\.0/,
    ],
    ['a node without an EK', '    - { model: E, serial: 1, eks: [] }\n', /nodes\.0\.eks/],
    ['a bank that nobody knows', `    - { model: E, serial: 1, eks: [${A}], pcrBanks: [md5] }\n`, /pcrBanks\.0/],
    ['an EK in upper case', `    - { model: E, serial: 1, eks: [${A.toUpperCase()}] }\n`, /nodes\.0\.eks\.0/],
    ['an unknown key', `    - { model: E, serial: 1, eks: [${A}], colour: red }\n`, /colour/],
    ['a serial number that no node can claim', `    - { model: E, serial: "1\\n", eks: [${A}] }\n`, /nodes\.0\.serial/],
    ['a key that occurs twice', `    - { model: E, model: F, serial: 1, eks: [${A}] }\n`, /unique/],
    ['an alias', `    - &n { model: E, serial: 1, eks: [${A}] }\n    - *n\n`, /alias/],
    ['a tag', `    - { model: !!binary E, serial: 1, eks: [${A}] }\n`, /tag/i],
    ['a merge', `    - { <<: { model: E }, serial: 1, eks: [${A}] }\n`, /model/],
  ]
  for (const [what, nodes, message] of cases) {
    test(`refuses ${what}`, () => assert.match(refusal(manifest(nodes)), message))
  }

  test('names every fault at once', () => {
    const message = refusal(manifest('    - { model: "", serial: "", eks: [] }\n'))
    assert.match(message, /model.*serial.*eks/)
  })

  test('refuses another kind, and no document at all', () => {
    assert.match(
      refusal('apiVersion: touchstone/v1\nkind: Policy\nmetadata: { name: a }\nspec: { nodes: [] }\n'),
      /kind/,
    )
    assert.notEqual(refusal(''), 'accepted')
  })
})
