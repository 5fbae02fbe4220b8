import type { FastifyInstance, FastifyRequest } from 'fastify'
import { decodeBody, MEDIA, type MediaType, sha256 } from '../../wire/index.ts'
import { Refusal } from './refusal.ts'

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
  const ranges = accept.split(',').map(parseRange)
  const ranked = SPOKEN.map((type) => ({ type, quality: qualityOf(type, ranges) })).filter(({ quality }) => quality > 0)
  const [best] = ranked.sort((a, b) => b.quality - a.quality)
  if (best === undefined) throw new Refusal('http.not_acceptable')
  return best.type
}

interface MediaRange {
  readonly type: string
  readonly quality: number
}

function parseRange(text: string): MediaRange {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase())
  const q = parameters.find((parameter) => parameter.startsWith('q='))
  const quality = q === undefined ? 1 : Number(q.slice(2))
  return { type, quality: Number.isFinite(quality) ? Math.min(Math.max(quality, 0), 1) : 0 }
}

/** The most specific range decides, so that `application/json;q=0` excludes JSON whatever else is allowed. */
function qualityOf(type: MediaType, ranges: readonly MediaRange[]): number {
  for (const candidate of [type, 'application/*', '*/*']) {
    const range = ranges.find((one) => one.type === candidate)
    if (range !== undefined) return range.quality
  }
  return 0
}
