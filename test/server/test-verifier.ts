import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { FastifyInstance } from 'fastify'
import type { z } from 'zod'
import { generateKey, type Manifest, parseTrustStore, signerOf } from '../../src/ca/index.ts'
import { buildApp, initCa, mintToken } from '../../src/server/index.ts'
import { loadCa } from '../../src/server/ca-directory.ts'
import { parseServerConfig } from '../../src/server/config.ts'
import { grantKeyOf } from '../../src/server/fleet-keys.ts'
import { makeLogger } from '../../src/server/http/logging.ts'
import { openResultsKeys } from '../../src/server/results-keys.ts'
import type { VerifierDeps } from '../../src/server/services/deps.ts'
import { loadResource, policySource } from '../../src/server/services/policies.ts'
import type { Role } from '../../src/store/index.ts'
import { decodeBody, encodeBody, MEDIA, type Problem, problem } from '../../src/wire/index.ts'
import { temporaryDirectory, temporaryStore } from '../store/temporary-store.ts'

export interface TestVerifierOptions {
  readonly settings?: Partial<VerifierDeps['settings']>
  /** YAML documents, as files of the configuration. */
  readonly policies?: readonly string[]
  readonly manifest?: Manifest
  /** PEM texts. */
  readonly ekRoots?: readonly string[]
  readonly keys?: Partial<Pick<VerifierDeps, 'ca' | 'releaseKey'>>
}

const DAY = 24 * 3600 * 1000

/** A whole verifier in process, on a real store and a real authority, with a clock that the test can move. */
export async function testVerifier(t: TestContext, options: TestVerifierOptions = {}) {
  const store = await temporaryStore(t)
  const directory = join(temporaryDirectory(t), 'ca')
  let ahead = 0
  const clock = { now: () => Date.now() + ahead }
  const input = { passphrase: 'p', organization: 'Test', now: clock.now(), random: randomBytes }
  await initCa(directory, input)
  const ca = await loadCa(directory, input.passphrase, input.now)
  const results = await openResultsKeys(
    directory,
    ca,
    { ...input, clock },
    { lifetime: 180 * DAY, overlap: DAY, token: 900_000 },
  )
  const origin = { revision: 0, source: 'file', updated: 0 } as const
  const files = (options.policies ?? []).map((text) => loadResource(text, origin))
  const lines: string[] = []
  const releaseSigner = signerOf(generateKey('P-256'))
  const config = parseServerConfig('dataDir: /nowhere\nadmission: open\ninterval: 30', '/nowhere/x.yaml')
  const deps: VerifierDeps = {
    store,
    clock,
    random: randomBytes,
    log: makeLogger('info', { write: (line: string) => void lines.push(line) }),
    settings: { ...config, issuer: 'https://verifier.test', ...options.settings },
    trust: parseTrustStore(options.ekRoots ?? []),
    manifest: options.manifest,
    policies: policySource(store, clock, files, {}),
    ca,
    results,
    releaseKey: { publicKey: releaseSigner.spki, sign: (message) => releaseSigner.sign(message, 'ieee-p1363') },
    grantKey: await grantKeyOf(generateKey('P-256')),
    ...options.keys,
    secrets: { nonce: randomBytes(32), pseudonym: randomBytes(32) },
    version: '0.0.0',
  }
  const app = await buildApp(deps)
  t.after(() => app.close())
  return {
    app,
    store,
    deps,
    lines,
    /** PEM of the root. */
    root: ca.chain[1] ?? '',
    advance: (ms: number) => void (ahead += ms),
    operator: (role: Role) => operatorOf(app, store, role),
  }
}

export type TestVerifier = Awaited<ReturnType<typeof testVerifier>>

/** What an operator with a new token of that role calls. */
async function operatorOf(app: FastifyInstance, store: VerifierDeps['store'], role: Role) {
  const { token, record } = mintToken(`${role}-${randomBytes(4).toString('hex')}`, role, 0, randomBytes)
  await store.tokens.insert(record)
  return async <T extends z.ZodType>(
    schema: T,
    method: 'GET' | 'POST' | 'PUT' | 'PATCH',
    url: string,
    body?: object,
  ) => {
    const response = await app.inject({
      method,
      url,
      headers: { authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { payload: body }),
    })
    return answerOf(schema, response)
  }
}

/** Sends what a node sends, in CBOR. */
export async function send<T extends z.ZodType>(
  app: FastifyInstance,
  url: string,
  body: unknown,
  schema: T,
): Promise<z.output<T>> {
  const response = await app.inject({
    method: 'POST',
    url,
    headers: { 'content-type': MEDIA.cbor, accept: `${MEDIA.cbor}, ${MEDIA.problem}` },
    payload: encodeBody(MEDIA.cbor, body),
  })
  assert.ok(response.headers['touchstone-signature'])
  return answerOf(schema, response)
}

/** A refusal that a test can look at. */
export class ProblemError extends Error {
  readonly problem: Problem
  constructor(body: Problem) {
    super(`${body.code}: ${body.detail} ${JSON.stringify(body.checks ?? body.errors ?? [])}`)
    this.problem = body
  }
}

interface Answer {
  readonly statusCode: number
  readonly rawPayload: Buffer
  readonly headers: Record<string, unknown>
}

function answerOf<T extends z.ZodType>(schema: T, response: Answer): z.output<T> {
  if (response.statusCode !== 200) {
    throw new ProblemError(problem.parse(JSON.parse(response.rawPayload.toString())))
  }
  const type = response.headers['content-type'] === MEDIA.cbor ? MEDIA.cbor : MEDIA.json
  return schema.parse(decodeBody(type, response.rawPayload))
}

/** For `assert.rejects`: the answer was a problem with this code. */
export const refusedWith = (code: string) => (error: unknown) => {
  assert.ok(error instanceof ProblemError, String(error))
  assert.equal(error.problem.code, code, error.message)
  return true
}
