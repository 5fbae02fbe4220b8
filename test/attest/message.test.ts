import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Finding } from '../../src/attest/matchers.ts'
import { parseMessage, renderMessage } from '../../src/attest/message.ts'

const event = { index: 45, pcr: 8, type: 'EV_IPL', summary: 'kernel_cmdline: x' }

function render(text: string, finding: Partial<Finding>): string {
  const template = parseMessage(text)
  assert.ok(template)
  return renderMessage(template, { outcome: 'fail', ...finding })
}

test('placeholders are filled in with what the check says', () => {
  const finding = { actual: 'a', expected: ['b', 'c'], event, nearest: { label: 'd' } }
  assert.equal(
    render('{actual} is not {expected} at {event}; {nearest}', finding),
    'a is not b, c at event 45 (PCR 8, EV_IPL); {"label":"d"}',
  )
})

test('a value that is not there is said to be nothing', () => {
  assert.equal(render('{actual}, {event}', {}), 'nothing, no event')
})

test('a placeholder that there is not is refused, other braces are text', () => {
  assert.equal(parseMessage('{actuall}'), undefined)
  assert.equal(render('a { b } {1} {}', {}), 'a { b } {1} {}')
})

test('what a value says is never read as a template', () => {
  assert.equal(render('{actual}', { actual: '{expected}{event}', expected: 'x' }), '{expected}{event}')
})

test('a value cannot hide, turn or break the line', () => {
  const actual = 'a\nb\u202ec\u200bd\u001b[31m\u2028'
  assert.equal(render('{actual}', { actual }), 'a\\u{a}b\\u{202e}c\\u{200b}d\\u{1b}[31m\\u{2028}')
})

test('a message stays short whatever the values are', () => {
  const actual = '😀'.repeat(10_000)
  const text = render('{actual}'.repeat(20), { actual })
  assert.ok(text.length <= 1025)
  assert.ok(text.isWellFormed())
  assert.ok(render('{actual}', { actual: '\n'.repeat(10_000) }).length <= 1025)
})
