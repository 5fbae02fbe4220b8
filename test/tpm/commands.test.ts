import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { decode } from '../../src/codec/index.ts'
import { openTransport } from '../../src/device/index.ts'
import {
  COMMANDS,
  decodeResponse,
  digest,
  encodeCommand,
  explainRc,
  nameOf,
  nvNameOf,
  parsePcrSelection,
  TPM2B_PUBLIC,
} from '../../src/tpm/index.ts'
import type { Command } from '../../src/tpm/index.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import type { TestTpm } from '../fixtures/swtpm.ts'

describe('raw commands to a TPM', () => {
  let tpm: TestTpm
  before(async () => {
    tpm = await freshTpm()
  })
  after(() => tpm.close())

  /** Sends one command over a connection of its own, so that the tools can use the TPM in between. */
  async function send<H extends string, P, R>(command: Command<H, P, R>, handles: Record<H, number>, parameters: P) {
    const transport = await openTransport(tpm.tcti)
    try {
      return decodeResponse(command, await transport.send(encodeCommand(command, handles, parameters)))
    } finally {
      await transport.close()
    }
  }

  async function ok<H extends string, P, R>(command: Command<H, P, R>, handles: Record<H, number>, parameters: P) {
    const result = await send(command, handles, parameters)
    if (!result.ok) return assert.fail(explainRc(result.rc).name)
    return result.response
  }

  test('PCR_Extend takes a digest for each bank, and PCR_Read shows them', async () => {
    const [sha1, sha256] = [digest('sha1', Buffer.from('x')), digest('sha256', Buffer.from('x'))]
    const digests = [
      { hashAlg: 'sha1', digest: sha1 },
      { hashAlg: 'sha256', digest: sha256 },
    ] as const
    await ok(COMMANDS.PCR_Extend, { pcrHandle: 12 }, { digests })
    const pcrSelectionIn = parsePcrSelection('sha1:12+sha256:11,12')
    const { pcrSelectionOut, pcrValues } = await ok(COMMANDS.PCR_Read, {}, { pcrSelectionIn })
    assert.deepEqual(pcrSelectionOut, pcrSelectionIn)
    assert.deepEqual(pcrValues, [
      digest('sha1', Buffer.alloc(20), sha1),
      Buffer.alloc(32),
      digest('sha256', Buffer.alloc(32), sha256),
    ])
  })

  test('PCR_Read answers eight values at most, and says which', async () => {
    const pcrSelectionIn = parsePcrSelection('sha256:0-23')
    const { pcrSelectionOut, pcrValues } = await ok(COMMANDS.PCR_Read, {}, { pcrSelectionIn })
    assert.deepEqual(pcrSelectionOut, parsePcrSelection('sha256:0-7'))
    assert.equal(pcrValues.length, 8)
  })

  test('GetCapability tells banks, properties, handles, commands and curves', async () => {
    const get = async (
      capability: 'pcrs' | 'tpm_properties' | 'handles' | 'commands' | 'ecc_curves',
      property: number,
    ) => {
      const { capabilityData } = await ok(COMMANDS.GetCapability, {}, { capability, property, propertyCount: 256 })
      return capabilityData
    }
    const banks = await get('pcrs', 0)
    assert.ok(
      banks.capability === 'pcrs' && banks.pcrs.some(({ hash, pcrs }) => hash === 'sha256' && pcrs.length === 24),
    )
    const properties = await get('tpm_properties', 0x105)
    // TPM_PT_MANUFACTURER
    assert.ok(properties.capability === 'tpm_properties')
    assert.deepEqual(properties.properties[0], { property: 0x105, value: 0x49424d00 })
    const pcrHandles = await get('handles', 0)
    assert.ok(pcrHandles.capability === 'handles' && pcrHandles.handles.length === 24)
    const commands = await get('commands', 0)
    assert.ok(commands.capability === 'commands')
    const codes = new Set(commands.commands.map((attributes) => attributes & 0xffff))
    for (const [name, { code }] of Object.entries(COMMANDS)) assert.ok(codes.has(code), name)
    const curves = await get('ecc_curves', 0)
    assert.ok(curves.capability === 'ecc_curves' && curves.curves.includes(0x0003))
  })

  test('handle counts in the table are those that the TPM states', async () => {
    const all = { capability: 'commands', property: 0, propertyCount: 256 } as const
    const { capabilityData } = await ok(COMMANDS.GetCapability, {}, all)
    const stated = capabilityData.capability === 'commands' ? capabilityData.commands : assert.fail()
    for (const [name, { code, handles }] of Object.entries(COMMANDS)) {
      const attributes = stated.find((value) => (value & 0xffff) === code)
      assert.ok(attributes !== undefined, name)
      // The one handle of FlushContext is a parameter.
      const expected = name === 'FlushContext' ? 0 : (attributes >>> 25) & 7
      assert.equal(handles.length, expected, name)
    }
  })

  test('GetRandom answers as many bytes as were asked for', async () => {
    const { randomBytes } = await ok(COMMANDS.GetRandom, {}, { bytesRequested: 16 })
    assert.equal(randomBytes.byteLength, 16)
  })

  test('ReadPublic answers what tpm2_readpublic does', async () => {
    await tpm.run('tpm2_createprimary', '-C', 'o', '-G', 'ecc', '-c', 'key.ctx')
    await tpm.run('tpm2_evictcontrol', '-C', 'o', '-c', 'key.ctx', '0x81000001')
    await tpm.run('tpm2_readpublic', '-c', '0x81000001', '-o', 'key.pub')
    const { outPublic, name } = await ok(COMMANDS.ReadPublic, { objectHandle: 0x81000001 }, {})
    assert.deepEqual(outPublic, decode('pub', TPM2B_PUBLIC, await tpm.read('key.pub')))
    assert.deepEqual(name, nameOf(outPublic))
  })

  test('NV_ReadPublic and NV_Read read an index, whose Name is ours too', async () => {
    const nvIndex = 0x01500001
    await tpm.write('content', Buffer.from('0123456789'))
    await tpm.run('tpm2_nvdefine', '0x1500001', '-C', 'o', '-s', '10', '-a', 'ownerwrite|authread|no_da')
    await tpm.run('tpm2_nvwrite', '0x1500001', '-C', 'o', '-i', 'content')
    const { nvPublic, nvName } = await ok(COMMANDS.NV_ReadPublic, { nvIndex }, {})
    assert.equal(nvPublic.dataSize, 10)
    assert.ok(nvPublic.attributes.WRITTEN && nvPublic.attributes.AUTHREAD && !nvPublic.attributes.OWNERREAD)
    assert.deepEqual(nvNameOf(nvPublic), nvName)
    const { data } = await ok(COMMANDS.NV_Read, { authHandle: nvIndex, nvIndex }, { size: 4, offset: 3 })
    assert.equal(data.toString(), '3456')
  })

  test('a refusal by the TPM is a result with its code', async () => {
    const again = await send(COMMANDS.Startup, {}, { startupType: 'clear' })
    assert.deepEqual(again, { ok: false, rc: 0x100 })
    const flush = await send(COMMANDS.FlushContext, {}, { flushHandle: 0x80000002 })
    assert.ok(!flush.ok)
    assert.equal(explainRc(flush.rc).name, 'TPM_RC_HANDLE')
  })

  test('Shutdown prepares the end of power', async () => {
    assert.deepEqual(await ok(COMMANDS.Shutdown, {}, { shutdownType: 'clear' }), {})
  })
})

test('a password goes into the authorisation area', () => {
  const parameters = { size: 1, offset: 0 }
  const bytes = encodeCommand(COMMANDS.NV_Read, { authHandle: 1, nvIndex: 2 }, parameters, Buffer.from('pw'))
  const expected = [
    '8002',
    '00000025',
    '0000014e',
    '00000001',
    '00000002',
    '0000000b',
    '40000009',
    '0000',
    '00',
    '0002',
    '7077',
    '0001',
    '0000',
  ]
  assert.equal(bytes.toString('hex'), expected.join(''))
})

for (const [what, hex, code] of [
  ['fewer bytes than a header', '8001000000', 'decode.truncated'],
  ['a size that is not its own', '80010000000b00000000', 'tpm.response_malformed'],
  ['bytes behind an error', '80010000000b00000101ff', 'tpm.response_malformed'],
  ['sessions where none were sent', '80020000000a00000000', 'tpm.response_malformed'],
  ['more random bytes than it has', '80010000000c000000000001', 'decode.truncated'],
  ['trailing bytes', '80010000000e000000000001aabb', 'decode.trailing'],
] as const) {
  test(`refuses a response with ${what}`, () => {
    assert.throws(() => decodeResponse(COMMANDS.GetRandom, Buffer.from(hex, 'hex')), { code })
  })
}

test('refuses a response whose parameters are longer than itself', () => {
  const bytes = Buffer.from('80020000000e00000000000000ff', 'hex')
  assert.throws(() => decodeResponse(COMMANDS.PCR_Extend, bytes), { code: 'decode.truncated' })
})
