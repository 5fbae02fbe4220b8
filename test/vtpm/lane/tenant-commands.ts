import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import {
  COMMANDS,
  decodeResponse,
  encodeCommand,
  objectAttributes,
  storageKeyTemplate,
  TPM_RH,
  TPM_ST_TICKET,
} from '../../../src/tpm/index.ts'
import type { Command, TPMA_OBJECT_BITS, TpmtPublic } from '../../../src/tpm/index.ts'
import type { Execute, TenantParent } from '../../../src/vtpm/lane/types.ts'

const EMPTY = Buffer.alloc(0)
export const PARENT = 0x81000001

/** Anything that answers raw commands: a tenant of the lane, or a client. */
export interface Asked {
  submit(command: Buffer): Promise<Buffer>
}

/** The return code of one typed command. */
export async function rcOf<H extends string, P, R>(
  asked: Asked,
  command: Command<H, P, R>,
  handles: Readonly<Record<H, number>>,
  parameters: P,
): Promise<number> {
  return (await asked.submit(encodeCommand(command, handles, parameters))).readUInt32BE(6)
}

/** The response to one typed command, which must succeed. */
export async function ask<H extends string, P, R>(
  asked: Asked,
  command: Command<H, P, R>,
  handles: Readonly<Record<H, number>>,
  parameters: P,
): Promise<R> {
  const result = decodeResponse(command, await asked.submit(encodeCommand(command, handles, parameters)))
  assert.ok(result.ok, `0x${command.code.toString(16)} answered 0x${result.ok ? '0' : result.rc.toString(16)}`)
  return result.response
}

const CREATION = { inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] }

/** A parent key as the broker would keep one, here a primary key with something unique in its template. */
export function testParent(label: string): TenantParent & { loads: number } {
  const template = storageKeyTemplate()
  const inPublic = { ...template, unique: { x: Buffer.from(label.padEnd(32, '.')), y: EMPTY } }
  return {
    loads: 0,
    async load(execute: Execute) {
      this.loads += 1
      const { objectHandle } = await ask(
        { submit: execute },
        COMMANDS.CreatePrimary,
        { primaryHandle: TPM_RH.owner },
        { ...CREATION, inPublic },
      )
      return objectHandle
    },
  }
}

const HMAC_ATTRIBUTES = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'sign', 'noDA'] as const

/** The cheapest of keys. */
export function hmacTemplate(...attributes: readonly (keyof typeof TPMA_OBJECT_BITS)[]): TpmtPublic {
  return {
    type: 'keyedhash',
    nameAlg: 'sha256',
    objectAttributes: objectAttributes(...(attributes.length === 0 ? HMAC_ATTRIBUTES : attributes)),
    authPolicy: EMPTY,
    parameters: { scheme: { scheme: 'hmac', hashAlg: 'sha256' } },
    unique: EMPTY,
  }
}

export const ECDSA_TEMPLATE: TpmtPublic = {
  type: 'ecc',
  nameAlg: 'sha256',
  objectAttributes: objectAttributes(...HMAC_ATTRIBUTES),
  authPolicy: EMPTY,
  parameters: {
    symmetric: { algorithm: 'null' },
    scheme: { scheme: 'ecdsa', hashAlg: 'sha256' },
    curveID: 'nist_p256',
    kdf: { scheme: 'null' },
  },
  unique: { x: EMPTY, y: EMPTY },
}

/** Makes a key under `parentHandle` and loads it; its handle. */
export async function makeKey(
  asked: Asked,
  inPublic: TpmtPublic = hmacTemplate(),
  parentHandle = PARENT,
): Promise<number> {
  const made = await ask(asked, COMMANDS.Create, { parentHandle }, { ...CREATION, inPublic })
  const { objectHandle } = await ask(
    asked,
    COMMANDS.Load,
    { parentHandle },
    { inPrivate: made.outPrivate, inPublic: made.outPublic },
  )
  return objectHandle
}

/** TPM2_Create with that template, whatever comes of it. */
export function createRc(asked: Asked, inPublic: TpmtPublic): Promise<number> {
  return rcOf(asked, COMMANDS.Create, { parentHandle: PARENT }, { ...CREATION, inPublic })
}

export async function hmacOf(asked: Asked, handle: number, text: string): Promise<string> {
  const parameters = { buffer: Buffer.from(text), hashAlg: 'null' } as const
  return (await ask(asked, COMMANDS.HMAC, { handle }, parameters)).outHMAC.toString('hex')
}

export const SIGN_PARAMETERS = {
  digest: Buffer.alloc(32, 1),
  inScheme: { scheme: 'null' },
  validation: { tag: TPM_ST_TICKET.hashcheck, hierarchy: TPM_RH.null, digest: EMPTY },
} as const

const SESSION = {
  encryptedSalt: EMPTY,
  sessionType: 'policy',
  symmetric: { algorithm: 'null' },
  authHash: 'sha256',
} as const
const UNBOUND = { tpmKey: TPM_RH.null, bind: TPM_RH.null }

/** An unsalted policy session; its handle. */
export async function startSession(asked: Asked): Promise<number> {
  const parameters = { ...SESSION, nonceCaller: randomBytes(16) }
  return (await ask(asked, COMMANDS.StartAuthSession, UNBOUND, parameters)).sessionHandle
}

export function startSessionRc(asked: Asked): Promise<number> {
  return rcOf(asked, COMMANDS.StartAuthSession, UNBOUND, { ...SESSION, nonceCaller: randomBytes(16) })
}

export function policyDigestOf(asked: Asked, policySession: number): Promise<number> {
  return rcOf(asked, COMMANDS.PolicyGetDigest, { policySession }, undefined)
}

export async function handlesOf(asked: Asked, first: number): Promise<readonly number[]> {
  const parameters = { capability: 'handles', property: first, propertyCount: 254 } as const
  const { capabilityData } = await ask(asked, COMMANDS.GetCapability, {}, parameters)
  assert.ok(capabilityData.capability === 'handles')
  return capabilityData.handles
}
