import assert from 'node:assert/strict'
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { execa } from 'execa'
import { hasCode } from './has-code.ts'
import { keyNode, type KeyNode } from './key-node.ts'

const MESSAGE = Buffer.from('the same key')

const fileOf = (node: KeyNode, tenant: string, name: string) => join(node.keysDir, tenant, `${name}.key`)

test('creating the same key again answers the key that there is, and another is refused', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  const first = await client.create('k', { kind: 'ecdsa-p256' })
  assert.deepEqual(await client.create('k', { kind: 'ecdsa-p256' }), first)
  assert.deepEqual(await client.create('k', { kind: 'ecdsa-p256', uses: ['sign'] }), first)
  await assert.rejects(client.create('k', { kind: 'ecdsa-p384' }), hasCode('key.exists'))
  await client.create('r', { kind: 'rsa-2048' })
  await assert.rejects(client.create('r', { kind: 'rsa-2048', uses: ['sign', 'decrypt'] }), hasCode('key.exists'))
  await client.create('s', { kind: 'secret', size: 16 })
  await assert.rejects(client.create('s', { kind: 'secret', size: 32 }), hasCode('key.exists'))
  await assert.rejects(client.create('s', { kind: 'secret', pcrs: 'sha256:1' }), hasCode('key.exists'))
  await assert.rejects(client.create('e', { kind: 'ecdsa-p256', uses: ['decrypt'] }), hasCode('key.use'))
  await assert.rejects(client.create('e', { kind: 'ecdsa-p256', size: 32 }), hasCode('key.use'))
})

test('two that create one key at the same time get the same one', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  const made = await Promise.all(Array.from({ length: 5 }, () => client.create('k', { kind: 'ecdsa-p256' })))
  assert.equal(new Set(made.map(({ versions }) => versions[0]?.kid)).size, 1)
})

test('keys and secrets are there after a restart of the broker, and after an update that the fleet has released', async (t) => {
  const node = await keyNode(t)
  const { client, path } = await node.serve('shop')
  await client.create('k', { kind: 'ecdsa-p256' })
  await client.create('mac', { kind: 'hmac-sha256' })
  await client.seal('password', Buffer.from('open sesame'))
  const { signature } = await client.sign('mac', { message: MESSAGE })
  const before = await client.get('k')
  assert.equal((await stat(path)).mode & 0o777, 0o600)

  await node.restart()
  const { client: again } = await node.serve('shop')
  assert.deepEqual(await again.get('k'), before)
  assert.equal(await again.verify('mac', MESSAGE, signature), 1)

  await node.release(2, 'os 2')
  await node.reboot('os 2')
  const { client: updated } = await node.serve('shop')
  assert.equal(await updated.verify('mac', MESSAGE, signature), 1)
  assert.equal((await updated.unseal('password')).toString(), 'open sesame')
  const token = await updated.sign('k', { message: MESSAGE })
  assert.equal(await updated.verify('k', MESSAGE, token.signature), 1)
})

test('after a boot that nobody released there are no keys', async (t) => {
  const node = await keyNode(t)
  const { client } = await node.serve('shop')
  await client.create('k', { kind: 'ecdsa-p256' })
  await node.reboot('os of a thief')
  await assert.rejects(node.serve('shop'), hasCode('vtpm.release_not_satisfied'))
})

test('a tenant sees its own keys alone, and the same name is another key', async (t) => {
  const node = await keyNode(t)
  const { client: shop } = await node.serve('shop')
  const { client: mail } = await node.serve('mail')
  const made = await shop.create('k', { kind: 'ecdsa-p256' })
  assert.deepEqual((await mail.list()).items, [])
  await assert.rejects(mail.get('k'), hasCode('key.not_found'))
  await assert.rejects(mail.sign('k', { message: MESSAGE }), hasCode('key.not_found'))
  await assert.rejects(mail.remove('k'), hasCode('key.not_found'))
  const other = await mail.create('k', { kind: 'ecdsa-p256' })
  assert.notEqual(other.versions[0]?.kid, made.versions[0]?.kid)
  const { signature } = await mail.sign('k', { message: MESSAGE })
  assert.equal(await shop.verify('k', MESSAGE, signature), undefined)
  for (const name of ['../mail/k', '..%2fmail%2fk', 'mail/k', '../../mail/k.key', '.', '..', 'k\0', 'K', 'ķ']) {
    await assert.rejects(shop.get(name), (error: { code?: unknown }) =>
      ['http.invalid', 'http.not_found', 'http.malformed'].includes(String(error.code)),
    )
  }
})

test('files that were copied from another key or tenant, or changed, are refused and left alone', async (t) => {
  const node = await keyNode(t)
  const { client: shop } = await node.serve('shop')
  const { client: mail } = await node.serve('mail')
  for (const name of ['mine', 'flipped', 'short', 'linked']) await shop.create(name, { kind: 'hmac-sha256' })
  await mail.create('theirs', { kind: 'hmac-sha256' })
  await node.restart()
  await copyFile(fileOf(node, 'mail', 'theirs'), fileOf(node, 'shop', 'theirs'))
  await copyFile(fileOf(node, 'shop', 'mine'), fileOf(node, 'shop', 'renamed'))
  const flipped = await readFile(fileOf(node, 'shop', 'flipped'))
  flipped.writeUInt8(flipped.readUInt8(200) ^ 1, 200)
  await writeFile(fileOf(node, 'shop', 'flipped'), flipped)
  await writeFile(fileOf(node, 'shop', 'short'), Buffer.alloc(10))
  await rm(fileOf(node, 'shop', 'linked'))
  await symlink(fileOf(node, 'shop', 'mine'), fileOf(node, 'shop', 'linked'))

  const { client } = await node.serve('shop')
  const damage = {
    theirs: 'key.misplaced',
    renamed: 'key.misplaced',
    flipped: 'key.damaged',
    short: 'key.damaged',
    linked: 'key.damaged',
  } as const
  const { items } = await client.list()
  assert.deepEqual(
    Object.fromEntries(items.flatMap((item) => (item.state === 'damaged' ? [[item.name, item.code]] : []))),
    damage,
  )
  for (const [name, code] of Object.entries(damage)) {
    await assert.rejects(client.sign(name, { message: MESSAGE }), hasCode(code))
    await assert.rejects(client.create(name, { kind: 'hmac-sha256' }), hasCode(code))
  }
  assert.equal((await client.sign('mine', { message: MESSAGE })).version, 1)
  assert.equal(await client.remove('flipped'), 0)
  assert.equal((await client.create('flipped', { kind: 'hmac-sha256' })).current, 1)
})

test("a whole directory in another tenant's place opens nothing", async (t) => {
  const node = await keyNode(t)
  const { client: shop } = await node.serve('shop')
  await shop.create('k', { kind: 'ecdsa-p256' })
  await node.restart()
  await rename(join(node.keysDir, 'shop'), join(node.keysDir, 'mail'))
  await assert.rejects(node.serve('mail'), hasCode('key.misplaced'))
  await rename(join(node.keysDir, 'mail'), join(node.keysDir, 'shop'))
  await symlink(join(node.keysDir, 'shop'), join(node.keysDir, 'mail'))
  await assert.rejects(node.serve('mail'), hasCode('key.storage'))
})

test('what a killed writer left behind is cleared away, and nothing else', async (t) => {
  const node = await keyNode(t)
  const { client } = await node.serve('shop')
  await client.create('k', { kind: 'ecdsa-p256' })
  await node.restart()
  const home = join(node.keysDir, 'shop')
  await writeFile(join(home, '.k.key.0b9f2f0e-7a55-4f1c-9a53-1f6f6f1c2a10.tmp'), 'half')
  await writeFile(join(home, 'note from the operator'), 'keep')
  await node.serve('shop')
  assert.deepEqual((await readdir(home)).sort(), ['k.key', 'note from the operator', 'parent'])
})

test('a key that cannot be stored is not there', async (t) => {
  const node = await keyNode(t)
  const { client } = await node.serve('shop')
  await client.create('k', { kind: 'ecdsa-p256' })
  // In the place of the file there is a directory, so that the rename fails whoever runs this.
  await mkdir(join(fileOf(node, 'shop', 'blocked'), 'x'), { recursive: true })
  await assert.rejects(client.create('blocked', { kind: 'ecdsa-p256' }), hasCode('key.storage'))
  await assert.rejects(client.get('blocked'), hasCode('key.not_found'))
  assert.equal((await client.list()).items.length, 1)
})

test('every operation that speaks for the tenant is written down, refused ones with their reason, and no secret is', async (t) => {
  const node = await keyNode(t)
  const { client } = await node.serve('shop')
  await client.create('k', { kind: 'ecdsa-p256' })
  await client.sign('k', { message: MESSAGE })
  await client.token('k', { claims: {} })
  await client.seal('s', Buffer.from('sesame'))
  await client.unseal('s')
  await client.rotate('k')
  await client.remove('k')
  await assert.rejects(client.unseal('s', 9), hasCode('key.version'))
  assert.deepEqual(
    node.audit.map(({ tenant, command, outcome, reason }) => [tenant, command, outcome, reason]),
    [
      ['shop', 'key.create k', 'done', undefined],
      ['shop', 'key.sign k', 'done', undefined],
      ['shop', 'key.token k', 'done', undefined],
      ['shop', 'key.seal s', 'done', undefined],
      ['shop', 'key.unseal s', 'done', undefined],
      ['shop', 'key.rotate k', 'done', undefined],
      ['shop', 'key.delete k', 'done', undefined],
      ['shop', 'key.unseal s', 'refused', 'key.version'],
    ],
  )
  assert.ok(node.audit.every(({ digest }) => /^[0-9a-f]{64}$/.test(digest)))
})

test('what could not be written down is not done', async (t) => {
  const node = await keyNode(t)
  const { client } = await node.serve('shop')
  await client.create('k', { kind: 'ecdsa-p256' })
  node.disk.isFull = true
  await assert.rejects(client.sign('k', { message: MESSAGE }), hasCode('vtpm.audit_full'))
  await assert.rejects(client.remove('k'), hasCode('vtpm.audit_full'))
  assert.equal((await client.list()).items.length, 1)
  node.disk.isFull = false
  assert.equal((await client.sign('k', { message: MESSAGE })).version, 1)
})

test(
  "a tenant's socket opens for its user and for nobody else",
  { skip: process.getuid?.() === 0 ? false : 'only root can give a socket away' },
  async (t) => {
    const [owner, stranger] = [54_321, 54_322]
    const node = await keyNode(t)
    const { path } = await node.serve('shop', { uid: owner })
    // The directories above are this test's own; the broker's are open to walk through.
    for (const above of [dirname(node.keysDir), dirname(dirname(node.keysDir))]) await chmod(above, 0o711)
    await chmod(join(path, '..', '..', '..'), 0o711)
    const { mode, uid } = await stat(path)
    assert.deepEqual([mode & 0o777, uid], [0o600, owner])
    const health = (user: number) =>
      execa('socat', ['-', `UNIX-CONNECT:${path}`], {
        uid: user,
        reject: false,
        cwd: '/',
        input: 'GET /healthz HTTP/1.0\r\n\r\n',
      })
    assert.match((await health(owner)).stdout, /\{"status":"ok"\}$/)
    assert.notEqual((await health(stranger)).exitCode, 0)
    const listed = await execa('ls', [node.keysDir], { uid: owner, reject: false, cwd: '/' })
    assert.notEqual(listed.exitCode, 0)
  },
)
