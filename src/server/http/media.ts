import type { FastifyInstance, FastifyRequest } from 'fastify'
import { decodeBody, MEDIA, type MediaType, sha256 } from '../../wire/index.ts'
import { Refusal } from './refusal.ts'
import type { RawAnswer } from './route.ts'

const SPOKEN: readonly MediaType[] = [MEDIA.json, MEDIA.cbor]

/** SHA-256 of a request's body as it came, once it was read. */
export type DigestOf = (request: FastifyRequest) => Buffer | undefined

/** Bodies are JSON or CBOR and nothing else; each is decoded by the room that defines it. */
export function acceptBodies(app: FastifyInstance): DigestOf {
  const digests = new WeakMap<FastifyRequest, Buffer>()
  app.removeAllContentTypeParsers()
  for (const type of SPOKEN) {
    app.addContentTypeParser(type, { parseAs: 'buffer' }, (request, body: Buffer, done) => {
      digests.set(request, sha256(body))
      try {
        done(null, decodeBody(type, body))
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)))
      }
    })
  }
  return (request) => digests.get(request)
}

/**
 * The media type to answer in (RFC 9110 section 12.5.1): the best that Accept allows, JSON before CBOR where it says
 * nothing of either, and the type that the request came in where there is no Accept at all.
 */
export function answerMedia(accept: string | undefined, requestType: string | undefined): MediaType {
  if (accept === undefined) {
    return requestType?.split(';')[0]?.trim().toLowerCase() === MEDIA.cbor ? MEDIA.cbor : MEDIA.json
  }
  const ranges = mediaRanges(accept)
  const ranked = SPOKEN.map((type) => ({ type, quality: qualityOf(type, ranges) })).filter(({ quality }) => quality > 0)
  const [best] = ranked.sort((a, b) => b.quality - a.quality)
  if (best === undefined) throw new Refusal('http.not_acceptable')
  return best.type
}

/** The first media type of its own that Accept names before what every route speaks; where it names none, nothing. */
export function rawAnswer(raw: readonly RawAnswer[], accept: string | undefined) {
  if (accept === undefined || raw.length === 0) return undefined
  const ranges = mediaRanges(accept)
  const spoken = Math.max(...SPOKEN.map((type) => ranges.find((range) => range.type === type)?.quality ?? 0))
  for (const range of ranges.toSorted((a, b) => b.quality - a.quality)) {
    const found = raw.find(({ media }) => media === range.type)
    if (found === undefined || range.quality === 0 || range.quality < spoken) continue
    const query = found.query(range.parameters)
    if (query !== undefined) return { ...found, query }
  }
  return undefined
}

export interface MediaRange {
  /** Lower case. */
  readonly type: string
  readonly quality: number
  /** By name in lower case; values without their quotes. */
  readonly parameters: ReadonlyMap<string, string>
}

/** What `Accept` names, in its order; a comma or semicolon in quotes separates nothing. */
export function mediaRanges(accept: string): readonly MediaRange[] {
  return splitOutsideQuotes(accept, ',').map((range) => {
    const [type = '', ...rest] = splitOutsideQuotes(range, ';').map((part) => part.trim())
    const parameters = new Map<string, string>()
    for (const parameter of rest) {
      const at = parameter.indexOf('=')
      if (at <= 0) continue
      const value = parameter.slice(at + 1).trim()
      parameters.set(parameter.slice(0, at).trim().toLowerCase(), /^"[^"]*"$/.test(value) ? value.slice(1, -1) : value)
    }
    const q = parameters.get('q')
    const quality = q === undefined ? 1 : Number(q)
    return {
      type: type.toLowerCase(),
      quality: Number.isFinite(quality) ? Math.min(Math.max(quality, 0), 1) : 0,
      parameters,
    }
  })
}

function splitOutsideQuotes(text: string, separator: ',' | ';'): string[] {
  const parts: string[] = []
  let start = 0
  let quoted = false
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '"') quoted = !quoted
    if (text[at] !== separator || quoted) continue
    parts.push(text.slice(start, at))
    start = at + 1
  }
  return [...parts, text.slice(start)]
}

/** The most specific range decides, so that `application/json;q=0` excludes JSON whatever else is allowed. */
function qualityOf(type: MediaType, ranges: readonly MediaRange[]): number {
  for (const candidate of [type, 'application/*', '*/*']) {
    const range = ranges.find((one) => one.type === candidate)
    if (range !== undefined) return range.quality
  }
  return 0
}
