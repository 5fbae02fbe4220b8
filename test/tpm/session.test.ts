import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { openTransport } from '../../src/device/index.ts'
import type { Transport } from '../../src/device/index.ts'
import { authoriseCommand, COMMANDS, explainRc, nameOf, objectAttributes, TPM_RH } from '../../src/tpm/index.ts'
import type { Command, CommandAuth, NamedHandle, SessionState, TpmtPublic } from '../../src/tpm/index.ts'
import { SESSION_CIPHER, sessionKey, sessionSalt } from '../../src/tpm/session.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import type { TestTpm } from '../fixtures/swtpm.ts'

const EMPTY = Buffer.alloc(0)
const HASH = 'sha256'
type SessionAuth = Extract<CommandAuth, { session: SessionState }>

const storageAttributes = objectAttributes(
  ...(['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'noDA', 'restricted', 'decrypt'] as const),
)
const common = { nameAlg: HASH, objectAttributes: storageAttributes, authPolicy: EMPTY } as const
const aes = { algorithm: 'aes', keyBits: 128, mode: 'cfb' } as const
const noScheme = { scheme: 'null' } as const

const SALT_KEYS: Readonly<Record<string, TpmtPublic>> = {
  'P-256': {
    ...common,
    type: 'ecc',
    parameters: { symmetric: aes, scheme: noScheme, curveID: 'nist_p256', kdf: noScheme },
    unique: { x: EMPTY, y: EMPTY },
  },
  'P-384 with SHA-384': {
    ...common,
    type: 'ecc',
    nameAlg: 'sha384',
    parameters: { symmetric: { ...aes, keyBits: 256 }, scheme: noScheme, curveID: 'nist_p384', kdf: noScheme },
    unique: { x: EMPTY, y: EMPTY },
  },
  'RSA-2048': {
    ...common,
    type: 'rsa',
    parameters: { symmetric: aes, scheme: noScheme, keyBits: 2048, exponent: 0 },
    unique: EMPTY,
  },
}

const HMAC_KEY: TpmtPublic = {
  ...common,
  type: 'keyedhash',
  objectAttributes: objectAttributes('fixedTPM', 'fixedParent', 'userWithAuth', 'noDA', 'sign'),
  parameters: { scheme: { scheme: 'hmac', hashAlg: HASH } },
  unique: EMPTY,
}

const SIGNING_KEY: TpmtPublic = {
  ...common,
  type: 'ecc',
  objectAttributes: objectAttributes('fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'noDA', 'sign'),
  parameters: {
    symmetric: { algorithm: 'null' },
    scheme: { scheme: 'ecdsa', hashAlg: HASH },
    curveID: 'nist_p256',
    kdf: noScheme,
  },
  unique: { x: EMPTY, y: EMPTY },
}

interface Key {
  readonly handle: number
  readonly name: Buffer
  readonly publicArea: TpmtPublic
}

describe('sessions with a real TPM', () => {
  let tpm: TestTpm
  let transport: Transport
  before(async () => {
    tpm = await freshTpm()
    transport = await openTransport(tpm.tcti)
  })
  after(async () => {
    await transport.close()
    await tpm.close()
  })

  async function run<H extends string, P, R>(
    command: Command<H, P, R>,
    handles: Readonly<Record<H, NamedHandle>>,
    parameters: P,
    auths: readonly CommandAuth[] = Array.from({ length: command.authorisations }, () => ({ password: EMPTY })),
    change: (response: Buffer) => Buffer = (response) => response,
  ) {
    const { bytes, open } = authoriseCommand(command, handles, parameters, auths)
    const opened = open(change(await transport.send(bytes)))
    if (!opened.ok) throw new Error(explainRc(opened.rc).name)
    return opened.response
  }

  async function primary(inPublic: TpmtPublic, userAuth = EMPTY, data = EMPTY): Promise<Key> {
    const parameters = { inSensitive: { userAuth, data }, inPublic, outsideInfo: EMPTY, creationPCR: [] }
    const { response } = await run(COMMANDS.CreatePrimary, { primaryHandle: TPM_RH.null }, parameters)
    return { handle: response.objectHandle, name: nameOf(response.outPublic), publicArea: response.outPublic }
  }

  const flush = async (...handles: readonly number[]) => {
    for (const flushHandle of handles) await run(COMMANDS.FlushContext, {}, { flushHandle })
  }

  async function start(type: 'hmac' | 'policy', saltKey?: Key): Promise<SessionState> {
    const nonceCaller = randomBytes(32)
    const pub = saltKey?.publicArea
    const { salt, encryptedSalt } =
      pub?.type === 'ecc' || pub?.type === 'rsa' ? sessionSalt(pub, randomBytes) : { salt: EMPTY, encryptedSalt: EMPTY }
    const handles = { tpmKey: saltKey?.handle ?? TPM_RH.null, bind: TPM_RH.null }
    const parameters = {
      nonceCaller,
      encryptedSalt,
      sessionType: type,
      symmetric: SESSION_CIPHER,
      authHash: HASH,
    } as const
    const { response } = await run(COMMANDS.StartAuthSession, handles, parameters)
    const key = sessionKey(HASH, salt, response.nonceTPM, nonceCaller)
    return { handle: response.sessionHandle, type, hash: HASH, key, nonceTpm: response.nonceTPM }
  }

  const use = (session: SessionState, more: Partial<SessionAuth> = {}): SessionAuth => ({
    session,
    authValue: EMPTY,
    decrypt: false,
    encrypt: false,
    continues: true,
    nonceCaller: randomBytes(32),
    ...more,
  })
  const moved = (session: SessionState, nonceTpm: Buffer | undefined): SessionState => ({
    ...session,
    nonceTpm: nonceTpm ?? assert.fail(),
  })

  for (const [name, template] of Object.entries(SALT_KEYS)) {
    test(`a salt for a key of ${name} gives both sides one session key, which hides both parameters`, async () => {
      const saltKey = await primary(template)
      const authValue = Buffer.from('a value that ends in zeros\0\0')
      const key = await primary(HMAC_KEY, authValue, Buffer.from('an HMAC key of some length'))
      let session = await start('hmac', saltKey)
      const buffer = Buffer.from('a message')
      const expected = createHmac('sha256', 'an HMAC key of some length').update(buffer).digest()
      const hidings = [{}, { decrypt: true }, { encrypt: true }, { decrypt: true, encrypt: true }]
      for (const hiding of hidings) {
        const auth = use(session, { authValue, ...hiding })
        const { response, nonces } = await run(COMMANDS.HMAC, { handle: key }, { buffer, hashAlg: 'null' }, [auth])
        assert.deepEqual(response.outHMAC, expected)
        session = moved(session, nonces[0])
      }
      await flush(session.handle, key.handle, saltKey.handle)
    })
  }

  test('a session that does not continue is gone after its command', async () => {
    const session = await start('hmac')
    const key = await primary(HMAC_KEY, EMPTY, Buffer.from('key'))
    const parameters = { buffer: EMPTY, hashAlg: 'null' } as const
    await run(COMMANDS.HMAC, { handle: key }, parameters, [use(session, { continues: false })])
    await assert.rejects(flush(session.handle), /TPM_RC_HANDLE/)
    await flush(key.handle)
  })

  test('two handles are authorised by two sessions, and a third hides the parameters', async () => {
    const saltKey = await primary(SALT_KEYS['P-256'] ?? assert.fail())
    const [objectAuth, signAuth] = [Buffer.from('of the object'), Buffer.from('of the signer')]
    const object = await primary(SIGNING_KEY, objectAuth)
    const signer = await primary({ ...SIGNING_KEY, unique: { x: Buffer.from('2'), y: EMPTY } }, signAuth)
    const sessions = [await start('hmac', saltKey)]
    // Room for the other two: the salt key is not needed any more.
    sessions.push(await start('hmac', saltKey), await start('hmac', saltKey))
    const [first, second, third] = sessions
    const auths = [
      use(first ?? assert.fail(), { authValue: objectAuth }),
      use(second ?? assert.fail(), { authValue: signAuth }),
      use(third ?? assert.fail(), { decrypt: true, encrypt: true }),
    ]
    const parameters = { qualifyingData: Buffer.from('nonce'), inScheme: noScheme }
    const handles = { objectHandle: object, signHandle: signer }
    const { response, nonces } = await run(COMMANDS.Certify, handles, parameters, auths)
    assert.ok(response.certifyInfo.includes(object.name))
    assert.equal(nonces.length, 3)
    // A session for one and the value itself for the other.
    const mixed = [use(moved(first ?? assert.fail(), nonces[0]), { authValue: objectAuth }), { password: signAuth }]
    await run(COMMANDS.Certify, handles, parameters, mixed)
    await flush(...sessions.map(({ handle }) => handle), object.handle, signer.handle, saltKey.handle)
  })

  test('one session hides the command, another the response', async () => {
    const saltKey = await primary(SALT_KEYS['P-256'] ?? assert.fail())
    const key = await primary(HMAC_KEY, EMPTY, Buffer.from('key'))
    const [own, hidesCommand, hidesResponse] = [
      await start('hmac', saltKey),
      await start('hmac', saltKey),
      await start('hmac', saltKey),
    ]
    const auths = [use(own), use(hidesCommand, { decrypt: true }), use(hidesResponse, { encrypt: true })]
    const parameters = { buffer: Buffer.from('x'), hashAlg: 'null' } as const
    const { response } = await run(COMMANDS.HMAC, { handle: key }, parameters, auths)
    assert.deepEqual(response.outHMAC, createHmac('sha256', 'key').update('x').digest())
    await flush(own.handle, hidesCommand.handle, hidesResponse.handle, key.handle, saltKey.handle)
  })

  test('the TPM refuses a command whose object was exchanged, because the HMAC covers its Name', async () => {
    const key = await primary(HMAC_KEY, EMPTY, Buffer.from('key'))
    const session = await start('hmac')
    const parameters = { buffer: EMPTY, hashAlg: 'null' } as const
    const wrong = { handle: key.handle, name: Buffer.concat([key.name.subarray(0, 33), Buffer.of(0)]) }
    await assert.rejects(
      run(COMMANDS.HMAC, { handle: wrong }, parameters, [use(session)]),
      /TPM_RC_(AUTH_FAIL|BAD_AUTH)/,
    )
    // The refusal moved no nonce.
    await run(COMMANDS.HMAC, { handle: key }, parameters, [use(session)])
    await flush(session.handle, key.handle)
  })

  test('a response with any bit of parameters or authorisation changed is refused', async () => {
    const saltKey = await primary(SALT_KEYS['P-256'] ?? assert.fail())
    const key = await primary(HMAC_KEY, EMPTY, Buffer.from('key'))
    let session = await start('hmac', saltKey)
    const parameters = { buffer: Buffer.from('x'), hashAlg: 'null' } as const
    const command = authoriseCommand(COMMANDS.HMAC, { handle: key }, parameters, [use(session, { encrypt: true })])
    const response = await transport.send(command.bytes)
    for (let at = 0; at < response.byteLength; at++) {
      const changed = Buffer.from(response)
      changed.writeUInt8(changed.readUInt8(at) ^ 0x10, at)
      let accepted = false
      try {
        accepted = command.open(changed).ok
      } catch (error) {
        assert.ok(error instanceof Error && 'code' in error, `byte ${at}`)
      }
      assert.ok(!accepted, `byte ${at}`)
    }
    const opened = command.open(response)
    session = moved(session, opened.ok ? opened.response.nonces[0] : undefined)
    await flush(session.handle, key.handle, saltKey.handle)
  })

  test('a policy session without a salt carries no HMAC, one with a salt does', async () => {
    const saltKey = await primary(SALT_KEYS['P-256'] ?? assert.fail())
    const session = await start('policy')
    const salted = await start('policy', saltKey)
    assert.equal(session.key.byteLength, 0)
    assert.equal(salted.key.byteLength, 32)
    const auths = [session, salted].map((one) => use(one))
    const areas = auths.map((auth) => authoriseCommand(COMMANDS.Unseal, { itemHandle: saltKey }, {}, [auth]).bytes)
    assert.equal((areas[1]?.byteLength ?? 0) - (areas[0]?.byteLength ?? 0), 32)
    await flush(session.handle, salted.handle, saltKey.handle)
  })
})

test('a session key needs a salt', () => {
  assert.equal(sessionKey('sha256', EMPTY, Buffer.alloc(32), Buffer.alloc(32)).byteLength, 0)
})

test('only a parameter that is a TPM2B can be hidden', () => {
  const session = {
    handle: 0x02000000,
    type: 'hmac',
    hash: 'sha256',
    key: Buffer.alloc(32),
    nonceTpm: Buffer.alloc(32),
  } as const
  const auth = {
    session,
    authValue: EMPTY,
    decrypt: true,
    encrypt: false,
    continues: true,
    nonceCaller: Buffer.alloc(32),
  }
  assert.throws(() => authoriseCommand(COMMANDS.NV_Increment, { authHandle: 1, nvIndex: 1 }, {}, [auth]), RangeError)
})
