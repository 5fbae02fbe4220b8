import type { JsonValue } from '../core/index.ts'
import type { Finding } from './matchers.ts'

const PLACEHOLDERS = ['actual', 'expected', 'event', 'nearest'] as const
type Placeholder = (typeof PLACEHOLDERS)[number]

/** A message as it was written, cut at its placeholders. */
export type MessageTemplate = readonly (string | { readonly placeholder: Placeholder })[]

/** Characters of a message as it is written, of one value in it, and of all of it once filled in. */
export const MAX_TEMPLATE = 512
const MAX_VALUE = 240
const MAX_MESSAGE = 1024

/** Cuts a template; `undefined` where it has a placeholder that there is not. Braces around anything else are text. */
export function parseMessage(text: string): MessageTemplate | undefined {
  const parts = text.split(/(\{[A-Za-z]+\})/).filter((part) => part !== '')
  const template: (string | { readonly placeholder: Placeholder })[] = []
  for (const part of parts) {
    const name = /^\{([A-Za-z]+)\}$/.exec(part)?.[1]
    const placeholder = PLACEHOLDERS.find((each) => each === name)
    if (placeholder !== undefined) template.push({ placeholder })
    else if (name === undefined) template.push(part)
    else return undefined
  }
  return template
}

export const PLACEHOLDER_NAMES = PLACEHOLDERS.map((name) => `{${name}}`).join(', ')

/**
 * Fills a template in, once: what a value says is never read as a template. Values come from the node, so they are cut,
 * and characters that are not to be seen, or turn the direction of writing, are written out.
 */
export function renderMessage(template: MessageTemplate, finding: Finding): string {
  const text = template.map((part) => (typeof part === 'string' ? part : valueOf(part.placeholder, finding))).join('')
  return cut(text, MAX_MESSAGE)
}

function valueOf(placeholder: Placeholder, { actual, expected, event, nearest }: Finding): string {
  switch (placeholder) {
    case 'actual':
      return show(actual)
    case 'expected':
      return show(expected)
    case 'nearest':
      return show(nearest)
    case 'event':
      return event === undefined ? 'no event' : `event ${event.index} (PCR ${event.pcr}, ${event.type})`
  }
}

function show(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing'
  // Only the beginning is shown, so only the beginning is worth escaping.
  const isTexts = Array.isArray(value) && value.every((each) => typeof each === 'string')
  const text = typeof value === 'string' ? value : isTexts ? value.join(', ') : JSON.stringify(value)
  return escaped(cut(text, MAX_VALUE))
}

function escaped(text: string): string {
  return text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`)
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length).toWellFormed()}…`
}
