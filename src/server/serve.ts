import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Server as TlsServer } from 'node:tls'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { z } from 'zod'
import { type Clock, isTouchstoneError, TouchstoneError } from '../core/index.ts'
import { openStore, sqliteEngine, type Store } from '../store/index.ts'
import { buildApp } from './app.ts'
import { type CertificateAuthority, loadCa } from './ca-directory.ts'
import { readServerConfig, type ServerConfig } from './config.ts'
import { openGrantKey, openReleaseKey } from './fleet-keys.ts'
import { makeLogger } from './http/logging.ts'
import { type Inputs, readInputs } from './inputs.ts'
import { makePrivateDirectory } from './private-file.ts'
import { openResultsKeys, type RotationTimes } from './results-keys.ts'
import { openRunFile } from './run-file.ts'
import { isWildcard, RENEWAL_INTERVAL_MS, serverKeyPair } from './server-certificate.ts'
import { policyDoubts } from './services/apply.ts'
import type { VerifierDeps } from './services/deps.ts'
import { policySource } from './services/policies.ts'

const SECRET_SIZE = 32

export interface RunningVerifier {
  readonly url: string
  /** Finishes what was begun, then closes the database. */
  close(): Promise<void>
}

/**
 * Runs the verifier of the configuration at `file` until `signal` aborts, and then finishes what it began. Throws
 * `config.invalid` and what opening the authority and the store throw.
 */
export async function serve(file: string, signal: AbortSignal): Promise<void> {
  const config = await readServerConfig(file)
  const log = makeLogger(config.logLevel)
  const running = await startVerifier(config, log)
  if (!signal.aborted) {
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }
  log.info('stopping')
  await running.close()
  log.info('stopped')
}

/** Starts the verifier and answers when it serves. `<dataDir>/run.json` then says where, and is gone again at the end. */
export async function startVerifier(config: ServerConfig, log: FastifyBaseLogger): Promise<RunningVerifier> {
  const clock: Clock = { now: () => Date.now() }
  await makePrivateDirectory(config.dataDir)
  const runFile = await openRunFile(config.dataDir)
  const inputs = await readInputs(config)
  const ca = await loadCa(join(config.dataDir, 'ca'), inputs.passphrase, clock.now())
  const store = await openStore(sqliteEngine(databasePath(config.dataDir)), clock.now())
  try {
    const deps = await makeDeps(config, log, clock, inputs, ca, store)
    warn(deps)
    const tls = await serverKeyPair(config, ca, clock.now(), randomBytes)
    const app = await buildApp(deps, { ...tls })
    await listen(app, config)
    const timers = [renewCertificate(app, config, ca, clock, log), refreshResultsKeys(deps)]
    const url = urlOf(app, config)
    await runFile.write(url)
    log.info({ url, admission: config.admission }, 'serving')
    return {
      url,
      close: async () => {
        for (const timer of timers) clearInterval(timer)
        await runFile.remove()
        await app.close()
        await store.close()
      },
    }
  } catch (error) {
    await store.close()
    throw error
  }
}

const LISTEN_FAULTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EACCES: 'ports below 1024 need a privilege',
}

async function listen(app: FastifyInstance, { listen: address }: ServerConfig): Promise<void> {
  try {
    // The line of our own names the URL as nodes reach it.
    await app.listen({ ...address, listenTextResolver: (bound) => `listening on ${bound.replace(/^http:/, 'https:')}` })
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
    const problem = LISTEN_FAULTS[code]
    if (problem === undefined) throw cause
    throw new TouchstoneError('config.listen', `cannot listen on ${address.host}:${address.port}: ${problem}`, {
      cause,
    })
  }
}

/** Where the database of a data directory is; `touchstone token` opens the same. */
export function databasePath(dataDir: string): string {
  return join(dataDir, 'touchstone.db')
}

async function makeDeps(
  config: ServerConfig,
  log: FastifyBaseLogger,
  clock: Clock,
  inputs: Inputs,
  ca: CertificateAuthority,
  store: Store,
): Promise<VerifierDeps> {
  const now = clock.now()
  const { passphrase, trust, manifest, policies: files } = inputs
  const policies = policySource(store, clock, files, config.policies)
  await checkPolicies(policies)
  const { host, port } = config.listen
  const directory = join(config.dataDir, 'ca')
  const keys = { passphrase, random: randomBytes }
  return {
    store,
    clock,
    random: randomBytes,
    log,
    settings: { ...config, issuer: config.issuer ?? originOf(config.tlsNames[0] ?? host, port) },
    trust,
    manifest,
    policies,
    ca,
    results: await openResultsKeys(directory, ca, { ...keys, clock }, rotationTimes(config)),
    releaseKey: await openReleaseKey(directory, config.releaseKey, keys),
    grantKey: await openGrantKey(directory, keys),
    secrets: {
      nonce: await store.secrets.ensure('nonce', randomBytes(SECRET_SIZE), now),
      pseudonym: await store.secrets.ensure('pseudonym', randomBytes(SECRET_SIZE), now),
    },
    version: await readVersion(),
  }
}

/**
 * No policy yet, or one that this version cannot read, is a state an operator can leave with `apply`; two for one purpose is a
 * fault of the configuration.
 */
async function checkPolicies(policies: VerifierDeps['policies']): Promise<void> {
  const snapshot = await policies.current()
  for (const purpose of ['enrolment', 'attestation'] as const) {
    try {
      snapshot.policyFor(purpose)
    } catch (error) {
      if (!isTouchstoneError(error, 'policy.none') && !isTouchstoneError(error, 'store.row')) throw error
    }
  }
}

function warn({ settings, log, policies, trust }: VerifierDeps): void {
  if (settings.admission === 'open') {
    log.warn('admission is open: INSECURE, anybody becomes a node; for laboratories only')
  }
  if (settings.admission === 'vendor-ek') {
    log.warn('admission is vendor-ek: a box can come back under another EK of the same TPM; a manifest prevents that')
  }
  if (trust.anchors.length === 0) log.warn('ekRoots is empty: no EK certificate can be traced to its manufacturer')
  policies
    .current()
    .then((snapshot) => {
      for (const doubt of policyDoubts(snapshot.resources, snapshot)) log.warn(doubt)
      return snapshot.policyFor('attestation')
    })
    .catch((error: unknown) => log.warn({ err: error }, 'nodes cannot attest'))
}

function renewCertificate(
  app: FastifyInstance,
  config: ServerConfig,
  ca: CertificateAuthority,
  clock: Clock,
  log: FastifyBaseLogger,
): NodeJS.Timeout {
  const timer = setInterval(() => {
    serverKeyPair(config, ca, clock.now(), randomBytes)
      .then((tls) => {
        if (app.server instanceof TlsServer) app.server.setSecureContext(tls)
      })
      .catch((error: unknown) => log.error({ err: error }, 'the certificate of the server could not be renewed'))
  }, RENEWAL_INTERVAL_MS)
  return timer.unref()
}

/** A key that somebody added, or that has ended, is noticed within this time. */
const KEYS_REFRESH_MS = 30_000

function refreshResultsKeys({ results, log }: Pick<VerifierDeps, 'results' | 'log'>): NodeJS.Timeout {
  const timer = setInterval(() => {
    results
      .refresh()
      .catch((error: unknown) => log.error({ err: error }, 'the keys of results could not be read again'))
  }, KEYS_REFRESH_MS)
  return timer.unref()
}

function rotationTimes({ resultsKey, resultLifetime }: ServerConfig): RotationTimes {
  return { lifetime: resultsKey.lifetime * 1000, overlap: resultsKey.overlap * 1000, token: resultLifetime * 1000 }
}

function urlOf(app: FastifyInstance, { listen }: ServerConfig): string {
  const { port } = app.server.address() as AddressInfo
  return originOf(isWildcard(listen.host) ? 'localhost' : listen.host, port)
}

function originOf(host: string, port: number): string {
  return `https://${host.includes(':') ? `[${host}]` : host}${port === 0 || port === 443 ? '' : `:${port}`}`
}

async function readVersion(): Promise<string> {
  const text = await readFile(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')
  return z.object({ version: z.string() }).parse(JSON.parse(text)).version
}
