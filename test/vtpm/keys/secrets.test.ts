import assert from 'node:assert/strict'
import { constants, publicEncrypt, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { execa } from 'execa'
import { openTransport } from '../../../src/device/index.ts'
import { COMMANDS, encodeCommand } from '../../../src/tpm/index.ts'
import { hasCode } from './has-code.ts'
import { keyNode } from './key-node.ts'

test('secrets of any size come back, and their files do not hold them', async (t) => {
  const node = await keyNode(t)
  const { client } = await node.serve('shop')
  const secrets = new Map([1, 31, 128, 129, 32_768].map((size) => [`s${size}`, randomBytes(size)]))
  for (const [name, secret] of secrets) await client.seal(name, secret)
  for (const [name, secret] of secrets) assert.deepEqual(await client.unseal(name), secret)
  for (const file of await readdir(join(node.keysDir, 'shop'))) {
    const content = await readFile(join(node.keysDir, 'shop', file), 'utf8')
    for (const secret of secrets.values()) {
      if (secret.byteLength > 8) assert.ok(!content.includes(secret.toString('base64url').slice(0, -1)))
    }
  }
})

test('a secret that the TPM made is the same each time, and another after a rotation', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  const { versions } = await client.create('disk', { kind: 'secret', size: 64 })
  assert.equal(versions[0]?.size, 64)
  const first = await client.unseal('disk')
  assert.equal(first.byteLength, 64)
  assert.deepEqual(await client.unseal('disk'), first)
  await client.rotate('disk')
  assert.notDeepEqual(await client.unseal('disk'), first)
  assert.deepEqual(await client.unseal('disk', 1), first)
  await assert.rejects(client.unseal('disk', 3), hasCode('key.version'))
})

test('sealing again makes a new version, and the old one stays until it is deleted', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  await client.seal('password', Buffer.from('first'))
  assert.equal((await client.seal('password', Buffer.from('second'))).current, 2)
  assert.equal((await client.unseal('password')).toString(), 'second')
  assert.equal((await client.unseal('password', 1)).toString(), 'first')
  await client.remove('password', 2)
  assert.equal((await client.unseal('password')).toString(), 'first')
  await client.create('signer', { kind: 'ecdsa-p256' })
  await assert.rejects(client.seal('signer', Buffer.from('x')), hasCode('key.use'))
})

test('a secret that is bound to registers does not come back once one was extended', async (t) => {
  const node = await keyNode(t)
  const { client } = await node.serve('shop')
  await client.seal('bound', Buffer.from('while nothing happens'), 'sha256:7,14')
  await client.seal('free', Buffer.from('whatever happens'))
  assert.equal((await client.unseal('bound')).toString(), 'while nothing happens')
  await node.restart()
  const transport = await openTransport(node.box.tcti)
  const digests = [{ hashAlg: 'sha256', digest: randomBytes(32) }] as const
  await transport.send(encodeCommand(COMMANDS.PCR_Extend, { pcrHandle: 14 }, { digests }))
  await transport.close()
  const { client: after } = await node.serve('shop')
  await assert.rejects(after.unseal('bound'), hasCode('key.registers'))
  assert.equal((await after.unseal('free')).toString(), 'whatever happens')
  await assert.rejects(after.seal('odd', Buffer.from('x'), 'sha256:99'), hasCode('tpm.selection_syntax'))
})

test('RSA-OAEP from OpenSSL and from node:crypto decrypts, and nothing else does', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  const directory = await mkdtemp(join(tmpdir(), 'ts-key-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  for (const uses of [['decrypt'], ['sign', 'decrypt']] as const) {
    const name = uses.join('-')
    const { versions } = await client.create(name, { kind: 'rsa-2048', uses: [...uses] })
    const pem = versions[0]?.publicKey?.pem ?? ''
    await writeFile(join(directory, 'pem'), pem)
    await writeFile(join(directory, 'plain'), 'for you alone')
    const { stdout } = await execa(
      'openssl',
      ['pkeyutl', '-encrypt', '-pubin', '-inkey', 'pem', '-in', 'plain'].concat(
        ['rsa_padding_mode:oaep', 'rsa_oaep_md:sha256', 'rsa_mgf1_md:sha256'].flatMap((option) => ['-pkeyopt', option]),
      ),
      { cwd: directory, encoding: 'buffer' },
    )
    assert.equal((await client.decrypt(name, stdout)).toString(), 'for you alone')
    const empty = publicEncrypt({ key: pem, oaepHash: 'sha256' }, Buffer.alloc(0))
    assert.equal((await client.decrypt(name, empty)).byteLength, 0)
    const flipped = Buffer.from(empty)
    flipped.writeUInt8(flipped.readUInt8(100) ^ 1, 100)
    const pkcs1 = publicEncrypt({ key: pem, padding: constants.RSA_PKCS1_PADDING }, Buffer.from('x'))
    const otherHash = publicEncrypt({ key: pem, oaepHash: 'sha1' }, Buffer.from('x'))
    for (const ciphertext of [flipped, pkcs1, otherHash, Buffer.alloc(256, 0xff), Buffer.alloc(256)]) {
      await assert.rejects(client.decrypt(name, ciphertext), hasCode('key.ciphertext'))
    }
    await assert.rejects(client.decrypt(name, Buffer.alloc(255)), hasCode('http.invalid'))
  }
})

test('an older version decrypts what was encrypted for it when it is named', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  const { versions } = await client.create('inbox', { kind: 'rsa-2048', uses: ['decrypt'] })
  const letter = publicEncrypt({ key: versions[0]?.publicKey?.pem ?? '', oaepHash: 'sha256' }, Buffer.from('old'))
  await client.rotate('inbox')
  await assert.rejects(client.decrypt('inbox', letter), hasCode('key.ciphertext'))
  assert.equal((await client.decrypt('inbox', letter, 1)).toString(), 'old')
})

test('random bytes come in any size up to the bound', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  for (const size of [1, 64, 65, 1024]) assert.equal((await client.random(size)).byteLength, size)
  assert.notDeepEqual(await client.random(32), await client.random(32))
  await assert.rejects(client.random(1025), hasCode('http.invalid'))
})
