import assert from 'node:assert/strict'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { checkRootsProof, type RootsProofInput } from '../../src/attest/roots-proof.ts'
import { decode, encode } from '../../src/codec/index.ts'
import { toHex } from '../../src/core/index.ts'
import { createEk, createKey, openTpmTools } from '../../src/device/index.ts'
import {
  agreementKeyTemplate,
  COMMANDS,
  objectAttributes,
  spkiOf,
  storageKeyTemplate,
  storageRootTemplate,
  TPM2B_CREATION_DATA,
  TPM2B_PUBLIC,
  TPM_RH,
  TPMS_ATTEST,
  type TpmtPublic,
} from '../../src/tpm/index.ts'
import { counterEntity } from '../../src/vtpm/hardware/counters.ts'
import { proveRoots } from '../../src/vtpm/hardware/prove-roots.ts'
import { createUnder } from '../../src/vtpm/hardware/sealing.ts'
import type { CreatedBlob, LoadedObject, TpmScope } from '../../src/vtpm/hardware/types.ts'
import { type ReleaseRequest, rootsBinding, type RootsClaim, type RootsProof } from '../../src/wire/index.ts'
import { type BrokerRoots, withBrokerRoots } from '../fixtures/node-roots.ts'
import { freshTpm } from '../fixtures/swtpm.ts'

// Whoever is root on a node has its AK attest whatever its TPM holds. All of these attestations are made so, by a TPM.

const EMPTY = Buffer.alloc(0)
const NO_SECRET = { userAuth: EMPTY, data: EMPTY }

const tpm = await freshTpm()
after(() => tpm.close())
const tools = await openTpmTools(tpm.tcti)
const enrolled = await createEk(tools, 'H-2')
const otherEk = await createEk(tools, 'H-3')
const blob = await createKey(tools, enrolled, 'attestation')
const otherBlob = await createKey(tools, enrolled, 'attestation')
await tools.close()

const publicOf = (bytes: Buffer) => decode('public', TPM2B_PUBLIC, bytes)
const ek = publicOf(enrolled.publicArea)
const ak = publicOf(blob.publicArea)

const asBroker = <T>(work: (broker: BrokerRoots) => Promise<T>, by = blob) =>
  withBrokerRoots(
    {
      tcti: tpm.tcti,
      stateDir: join(tpm.dir, 'broker'),
      ak: { ekKind: 'H-2', akPublic: by.publicArea, akPrivate: by.privateArea },
    },
    work,
  )

const PCRS = 'sha256:0,2,4,7'
const honest = await asBroker((broker) => broker.roots.releaseRequest(broker, PCRS))
const honestProof = honest.proof ?? assert.fail()
const saidOf = ({ attest }: { attest: Uint8Array }) => decode('attest', TPMS_ATTEST, attest)
/** As a quote right after the last of them would have it. */
const quoted = saidOf(honestProof.transportKey).clockInfo

const check = (ask: ReleaseRequest, change: Partial<RootsProofInput> = {}) =>
  checkRootsProof({ ek, ak, ask, quoted: { ...quoted, clock: quoted.clock + 60_000n }, ...change })

function refuses(ask: ReleaseRequest, code: string, part: string, change: Partial<RootsProofInput> = {}) {
  assert.throws(
    () => check(ask, change),
    (error: unknown) => {
      assert.ok(error instanceof Error)
      assert.equal(Reflect.get(error, 'code'), code, error.message)
      assert.ok(error.message.includes(part), error.message)
      return true
    },
  )
}

type Part = keyof RootsProof
const PARTS: readonly (readonly [Part, string])[] = [
  ['storageRoot', 'storage root'],
  ['counter', 'release counter'],
  ['transportKey', 'transport key'],
]

/** The honest request with one part of its proof changed. */
function withPart(part: Part, change: (was: { attest: Uint8Array; signature: Uint8Array }) => object): ReleaseRequest {
  return { ...honest, proof: { ...honestProof, [part]: { ...honestProof[part], ...change(honestProof[part]) } } }
}

function flipped(bytes: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(bytes)
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at)
  return copy
}

/** A claim, and what the AK says for it about other things than the broker's. */
interface Hostile {
  readonly claim?: Partial<RootsClaim>
  readonly make?: (broker: BrokerRoots, scope: TpmScope, own: CreatedBlob) => Promise<Partial<Made>>
}

interface Made {
  readonly root: LoadedObject
  readonly transportKey: CreatedBlob
}

async function hostile({ claim: change = {}, make }: Hostile): Promise<ReleaseRequest> {
  return await asBroker(async (broker) => {
    const { client, ak: attesting, roots } = broker
    const kept: number[] = []
    const own = await client.scope((scope) => createUnder(scope, roots.storageRoot, agreementKeyTemplate(), {}))
    const made = await client.scope(async (scope) => {
      const keeping = { ...scope, flushLater: (handle: number) => void kept.push(handle) }
      return (await make?.(broker, keeping, own)) ?? {}
    })
    const { root, transportKey } = { root: roots.storageRoot, transportKey: own, ...made }
    const { proof: _, ...rest } = honest
    const claim = {
      ...rest,
      storageRootName: toHex(root.name),
      transportKey: spkiOf(publicOf(transportKey.public)),
      ...change,
    }
    try {
      const proof = await proveRoots({ client, ak: attesting }, { root, transportKey }, rootsBinding(claim))
      return { ...claim, proof }
    } finally {
      for (const handle of kept) await client.run(COMMANDS.FlushContext, {}, { flushHandle: handle })
    }
  })
}

/** A primary key, flushed at the end of all. */
async function primary(scope: TpmScope, inPublic: TpmtPublic, hierarchy: number = TPM_RH.owner): Promise<LoadedObject> {
  const parameters = { inSensitive: NO_SECRET, inPublic, outsideInfo: EMPTY, creationPCR: [] }
  const made = await scope.run(COMMANDS.CreatePrimary, { primaryHandle: hierarchy }, parameters)
  scope.flushLater(made.objectHandle)
  return { handle: made.objectHandle, name: made.name, publicArea: made.outPublic }
}

async function loadedUnder(scope: TpmScope, parent: LoadedObject, template: TpmtPublic): Promise<LoadedObject> {
  const loaded = await scope.load(parent, await createUnder(scope, parent, template, {}))
  scope.keep(loaded.handle)
  scope.flushLater(loaded.handle)
  return loaded
}

test('a request of an honest broker is proven', () => {
  check(honest)
})

test('another storage root of the same TPM and what is under it are proven as well: it is the node that has one', async () => {
  const other = { ...storageRootTemplate(), unique: { x: Buffer.alloc(32, 7), y: EMPTY } }
  check(
    await hostile({
      make: async (_, scope) => {
        const root = await primary(scope, other)
        return { root, transportKey: await createUnder(scope, root, agreementKeyTemplate(), {}) }
      },
    }),
  )
})

test('a request without a proof is refused', () => {
  refuses({ ...honest, proof: undefined }, 'release.proof_missing', '')
})

for (const [part, name] of PARTS) {
  test(`${name}: what no TPM made, and what is another kind of attestation, is refused`, () => {
    refuses(
      withPart(part, ({ attest }) => ({ attest: flipped(attest, 0) })),
      'release.proof_magic',
      name,
    )
    const other = part === 'counter' ? 'storageRoot' : 'counter'
    const { attest, signature } = honestProof[other]
    refuses(
      withPart(part, () => ({ attest, signature })),
      'release.proof_type',
      name,
    )
  })

  test(`${name}: a signature of another scheme, or of another hash, is refused`, () => {
    const scheme = (id: number) => (was: { signature: Uint8Array }) => {
      const signature = Buffer.from(was.signature)
      signature.writeUInt16BE(id, 0)
      return { signature }
    }
    // TPM_ALG_ECDAA, and one that does not exist.
    refuses(withPart(part, scheme(0x001a)), 'release.proof_scheme', name)
    refuses(withPart(part, scheme(0x7777)), 'release.proof_scheme', name)
    const sha384 = (was: { signature: Uint8Array }) => {
      const signature = Buffer.from(was.signature)
      signature.writeUInt16BE(0x000c, 2)
      return { signature }
    }
    refuses(withPart(part, sha384), 'release.proof_scheme', name)
  })

  test(`${name}: one changed byte, of statement or signature, is refused`, () => {
    refuses(
      withPart(part, ({ attest }) => ({ attest: flipped(attest, attest.byteLength - 1) })),
      'release.proof_signature',
      name,
    )
    refuses(
      withPart(part, (was) => ({ signature: flipped(was.signature, 10) })),
      'release.proof_signature',
      name,
    )
  })

  test(`${name}: what was attested for another request is refused`, async () => {
    const other = await hostile({ claim: { pcrs: 'sha256:15' } })
    const { attest, signature } = other.proof?.[part] ?? assert.fail()
    refuses(
      withPart(part, () => ({ attest, signature })),
      'release.proof_binding',
      name,
    )
  })

  test(`${name}: a structure that is cut is refused`, () => {
    assert.throws(() => check(withPart(part, ({ attest }) => ({ attest: attest.subarray(0, -1) }))), {
      code: 'release.proof_signature',
    })
    assert.throws(() => check(withPart(part, ({ attest }) => ({ attest: attest.subarray(0, 5) }))), {
      code: 'decode.truncated',
    })
    assert.throws(() => check(withPart(part, (was) => ({ signature: was.signature.subarray(0, -1) }))), {
      code: 'decode.truncated',
    })
  })
}

test('what the AK of another node signed is refused, and what one under another EK did', async () => {
  const theirs = await asBroker((broker) => broker.roots.releaseRequest(broker, PCRS), otherBlob)
  refuses(theirs, 'release.proof_signature', 'storage root')
  refuses(honest, 'release.proof_signer', 'storage root', { ek: publicOf(otherEk.publicArea) })
})

test('what was attested in another boot, too early, or after the quote, is refused', () => {
  const { clock, resetCount, restartCount } = quoted
  const at = (change: object) => ({ quoted: { clock, resetCount, restartCount, ...change } })
  refuses(honest, 'release.proof_clock', 'storage root', at({ resetCount: resetCount + 1 }))
  refuses(honest, 'release.proof_clock', 'storage root', at({ restartCount: restartCount + 1 }))
  refuses(honest, 'release.proof_clock', 'storage root', at({ clock: clock + 601_000n }))
  refuses(honest, 'release.proof_clock', 'storage root', at({ clock: clock - 3_600_000n }))
  check(honest, at({}))
})

test('a storage root that is not the one of the claim is refused', async () => {
  refuses(await hostile({ claim: { storageRootName: `000b${'ab'.repeat(32)}` } }), 'release.storage_root_name', '')
  // The public area of another key, beside an attestation of this one.
  const request = withPart('storageRoot', () => ({ publicArea: honestProof.transportKey.publicArea }))
  refuses(request, 'release.storage_root_name', '')
})

const WEAK: readonly (readonly [string, Partial<ReturnType<typeof storageRootTemplate>>])[] = [
  [
    'may leave its TPM, and its children with it',
    { objectAttributes: objectAttributes('sensitiveDataOrigin', 'userWithAuth', 'noDA', 'restricted', 'decrypt') },
  ],
  [
    'counts wrong guesses against the whole TPM',
    {
      objectAttributes: objectAttributes(
        ...(['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'restricted', 'decrypt'] as const),
      ),
    },
  ],
  [
    'protects its children otherwise',
    {
      parameters: {
        ...storageKeyTemplate().parameters,
        symmetric: { algorithm: 'aes', keyBits: 256, mode: 'cfb' },
      },
    },
  ],
]
for (const [what, change] of WEAK) {
  test(`a storage root that ${what} is refused`, async () => {
    const request = await hostile({
      make: async (_, scope) => {
        const root = await primary(scope, { ...storageRootTemplate(), ...change })
        return root.publicArea.objectAttributes.fixedTPM
          ? { root, transportKey: await createUnder(scope, root, agreementKeyTemplate(), {}) }
          : { root, transportKey: await createUnder(scope, root, duplicable(), {}) }
      },
    })
    refuses(request, 'release.storage_root_template', '')
  })
}

function duplicable(): TpmtPublic {
  const attributes = objectAttributes('sensitiveDataOrigin', 'userWithAuth', 'noDA', 'decrypt', 'fixedParent')
  return { ...agreementKeyTemplate(), objectAttributes: attributes }
}

test('a storage root below another key, or of another hierarchy, is refused', async () => {
  const make = (how: (broker: BrokerRoots, scope: TpmScope) => Promise<LoadedObject>): Hostile => ({
    make: async (broker, scope) => {
      const root = await how(broker, scope)
      return { root, transportKey: await createUnder(scope, root, agreementKeyTemplate(), {}) }
    },
  })
  const below = make(({ roots }, scope) => loadedUnder(scope, roots.storageRoot, storageKeyTemplate()))
  refuses(await hostile(below), 'release.storage_root_parent', '')
  const elsewhere = make((_, scope) => primary(scope, storageRootTemplate(), TPM_RH.endorsement))
  refuses(await hostile(elsewhere), 'release.storage_root_parent', '')
})

test('another counter than that of releases is refused', async () => {
  const ledger = counterEntity('ledger')
  refuses(await hostile({ claim: { counterName: toHex(ledger.name) } }), 'release.counter_index', '')
  const { attest, signature } = await asBroker(({ ak: attesting }) =>
    attesting.certifyNv(ledger, 8, rootsBinding(honest)),
  )
  refuses(
    withPart('counter', () => ({ attest, signature })),
    'release.counter_index',
    '',
  )
})

test('a counter at another value than the claimed one, or seen only in part, is refused', async () => {
  refuses(await hostile({ claim: { counter: honest.counter + 1 } }), 'release.counter_contents', '')
  const release = counterEntity('release')
  const { attest, signature } = await asBroker(({ ak: attesting }) =>
    attesting.certifyNv(release, 4, rootsBinding(honest)),
  )
  refuses(
    withPart('counter', () => ({ attest, signature })),
    'release.counter_contents',
    '',
  )
})

test('a transport key that is not the one of the claim is refused', async () => {
  const other = spkiOf(publicOf(blob.publicArea))
  refuses(await hostile({ claim: { transportKey: other } }), 'release.transport_key_name', '')
  const request = withPart('transportKey', () => ({ publicArea: honestProof.storageRoot.publicArea }))
  refuses(request, 'release.transport_key_name', '')
})

test('a transport key that may be used for more, or leave its TPM, is refused', async () => {
  const signs = agreementKeyTemplate()
  const attributes = { ...signs.objectAttributes, sign: true }
  const leaves = { ...signs.objectAttributes, fixedTPM: false, fixedParent: false }
  for (const objectAttributes of [attributes, leaves]) {
    const request = await hostile({
      make: async ({ roots }, scope) => ({
        transportKey: await createUnder(scope, roots.storageRoot, { ...signs, objectAttributes }, {}),
      }),
    })
    refuses(request, 'release.transport_key_template', '')
  }
})

test('a transport key that was made under another parent is refused', async () => {
  const request = await asBroker(async (broker) => {
    const { client, ak: attesting, roots } = broker
    return await client.scope(async (scope) => {
      const parent = await loadedUnder(scope, roots.storageRoot, storageKeyTemplate())
      const transportKey = await createUnder(scope, parent, agreementKeyTemplate(), {})
      const { proof: _, ...rest } = honest
      const claim = { ...rest, transportKey: spkiOf(publicOf(transportKey.public)) }
      const binding = rootsBinding(claim)
      const storageRoot = {
        publicArea: encode(TPM2B_PUBLIC, roots.storageRoot.publicArea),
        ...(await attesting.certify(roots.storageRoot, binding)),
      }
      const counter = await attesting.certifyNv(counterEntity('release'), 8, binding)
      // There is room for three.
      const key = await scope.load(parent, transportKey)
      const said = await attesting.certifyCreation(key, binding, transportKey.creation)
      const proven = { publicArea: transportKey.public, creationData: transportKey.creation.data, ...said }
      return { ...claim, proof: { storageRoot, counter, transportKey: proven } }
    })
  })
  refuses(request, 'release.transport_key_parent', '')
  // Creation data that were written for it do not have the digest that the TPM certified.
  const { creationData } = honestProof.transportKey
  const forged = { ...request.proof.transportKey, creationData }
  refuses({ ...request, proof: { ...request.proof, transportKey: forged } }, 'release.transport_key_parent', '')
  const data = decode('creation', TPM2B_CREATION_DATA, creationData)
  const changed = encode(TPM2B_CREATION_DATA, { ...data, parentQualifiedName: EMPTY })
  refuses(
    withPart('transportKey', () => ({ creationData: changed })),
    'release.transport_key_parent',
    '',
  )
})
