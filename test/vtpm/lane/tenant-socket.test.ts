import assert from 'node:assert/strict'
import { chmod, mkdir, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { execa } from 'execa'
import { makeTenantDirectory, openTenantSocket } from '../../../src/vtpm/lane/tenant-socket.ts'
import { response } from '../../device/fake-tpm.ts'
import { GET_RANDOM, LIMITS, openEdge, openEdgeOnTpm, rawClient, temporaryDirectory } from './edge.ts'

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777
const rcOf = (bytes: Buffer): number => bytes.readUInt32BE(6)

function tools(tcti: string, cwd: string) {
  const env = { TPM2TOOLS_TCTI: tcti, TSS2_LOG: 'all+none' }
  return (tool: string, ...args: string[]) => execa(tool, args, { cwd, env, timeout: 60_000 })
}

test('unmodified tpm2-tools work on a tenant socket: one connection a command, through the swtpm TCTI', async (t) => {
  const edge = await openEdgeOnTpm(t)
  const run = tools(edge.tcti, await temporaryDirectory(t))
  assert.match((await run('tpm2_getrandom', '--hex', '8')).stdout, /^[0-9a-f]{16}$/)
  await run('tpm2_createprimary', '-Q', '-C', 'o', '-G', 'ecc', '-c', 'p.ctx')
  await run('tpm2_flushcontext', '-t')
  await run('tpm2_create', '-Q', '-C', 'p.ctx', '-G', 'ecc', '-c', 'k.ctx')
  await run('tpm2_flushcontext', '-t')
  await run('tpm2_sign', '-Q', '-c', 'k.ctx', '-g', 'sha256', '-o', 'sig', '/etc/hostname')
  await run('tpm2_flushcontext', '-t')
  await run('tpm2_verifysignature', '-c', 'k.ctx', '-g', 'sha256', '-m', '/etc/hostname', '-s', 'sig')
  assert.match((await run('tpm2_pcrread', 'sha256:0,7')).stdout, /7 ?: 0x/)
})

test('unmodified tpm2-tools work through a kept connection: cmd:socat', async (t) => {
  const edge = await openEdgeOnTpm(t)
  const run = tools(`cmd:socat - UNIX-CONNECT:${edge.path}`, await temporaryDirectory(t))
  assert.match((await run('tpm2_getrandom', '--hex', '8')).stdout, /^[0-9a-f]{16}$/)
  await run('tpm2_createprimary', '-Q', '-C', 'o', '-G', 'ecc', '-c', 'p.ctx')
  assert.match((await run('tpm2_readpublic', '-c', 'p.ctx')).stdout, /ecc/)
})

test('sockets are for their owner alone, in a directory that is the broker’s', async (t) => {
  const edge = await openEdge(t, () => Promise.resolve(response(0)))
  assert.equal(await modeOf(edge.path), 0o600)
  assert.equal(await modeOf(`${edge.path}.ctrl`), 0o600)
  assert.equal(await modeOf(join(edge.state.runDir, 't', 'app')), 0o700)
})

test('as root, sockets belong to the tenant and the directory does not: it could put a link in the broker’s way', async (t) => {
  if (process.getuid?.() !== 0) {
    t.skip('needs root')
    return
  }
  const runDir = await temporaryDirectory(t)
  const directory = await makeTenantDirectory(runDir, 'app', 12_345)
  assert.equal(await modeOf(directory), 0o711)
  assert.equal((await stat(directory)).uid, 0)
})

test('as root, the tenant’s user can use its socket and nobody else can', async (t) => {
  if (process.getuid?.() !== 0) {
    t.skip('needs root')
    return
  }
  const edge = await openEdgeOnTpm(t, 12_345)
  // As /run is; what is made for a test is closed to others.
  await chmod(edge.state.runDir, 0o755)
  const random = (uid: number) => execa('tpm2_getrandom', ['-T', edge.tcti, '--hex', '8'], { cwd: '/', uid, gid: uid })
  assert.match((await random(12_345)).stdout, /^[0-9a-f]{16}$/)
  await assert.rejects(random(12_346))
})

test('a directory that somebody else prepared is refused', async (t) => {
  const runDir = await temporaryDirectory(t)
  await mkdir(join(runDir, 't'))
  await symlink('/', join(runDir, 't', 'app'))
  await assert.rejects(makeTenantDirectory(runDir, 'app', undefined), { code: 'vtpm.socket' })
})

test('a socket that a killed broker left is replaced, and anything else is left alone', async (t) => {
  const edge = await openEdge(t, () => Promise.resolve(response(0)))
  const directory = await makeTenantDirectory(edge.state.runDir, 'other', undefined)
  const stale = createServer().listen(join(directory, 'tpm'))
  t.after(() => stale.close())
  const open = (tenant: string) =>
    openTenantSocket({
      runDir: edge.state.runDir,
      tenant,
      uid: undefined,
      lane: { submit: () => Promise.resolve(response(0x155)) },
      audit: { append: () => undefined, accepting: true, flush: () => Promise.resolve() },
      cancel: () => undefined,
      limits: LIMITS,
    })
  const fresh = await open('other')
  t.after(() => fresh.close())
  const client = await rawClient(t, fresh.path)
  client.socket.write(GET_RANDOM)
  assert.equal(rcOf(await client.read(10)), 0x155)

  await writeFile(join(await makeTenantDirectory(edge.state.runDir, 'third', undefined), 'tpm'), 'precious')
  await assert.rejects(open('third'), { code: 'vtpm.socket' })
  await assert.rejects(open('x'.repeat(100)), { code: 'vtpm.socket' })
})

test('a hundred connections are served at once, each with its own answer', async (t) => {
  const edge = await openEdgeOnTpm(t)
  const clients = await Promise.all(Array.from({ length: 100 }, () => rawClient(t, edge.path)))
  for (const { socket } of clients) socket.write(GET_RANDOM)
  const answers = await Promise.all(clients.map((client) => client.read(20)))
  assert.ok(answers.every((bytes) => rcOf(bytes) === 0))
  assert.equal(new Set(answers.map((bytes) => bytes.toString('hex'))).size, 100)
})

test('more connections than a tenant may have are closed at once, and the others stay', async (t) => {
  const edge = await openEdge(t, () => Promise.resolve(response(0)), { connections: 2 })
  const [one, two] = [await rawClient(t, edge.path), await rawClient(t, edge.path)]
  const three = await rawClient(t, edge.path)
  await three.ended
  for (const client of [one, two]) {
    client.socket.write(GET_RANDOM)
    assert.equal(rcOf(await client.read(10)), 0)
  }
})

test('a command that comes byte by byte is one command', async (t) => {
  const commands: string[] = []
  const edge = await openEdge(t, (command) => {
    commands.push(command.toString('hex'))
    return Promise.resolve(response(0))
  })
  const client = await rawClient(t, edge.path)
  client.socket.setNoDelay(true)
  for (const byte of GET_RANDOM) {
    await new Promise<void>((resolve) => client.socket.write(Buffer.from([byte]), () => resolve()))
  }
  assert.equal(rcOf(await client.read(10)), 0)
  assert.deepEqual(commands, [GET_RANDOM.toString('hex')])
})

test('commands sent ahead are answered one after the other, in order', async (t) => {
  let running = 0
  let most = 0
  const edge = await openEdge(t, async (command) => {
    running += 1
    most = Math.max(most, running)
    await new Promise((resolve) => setImmediate(resolve))
    running -= 1
    return response(command.readUInt16BE(10))
  })
  const client = await rawClient(t, edge.path)
  const many = Array.from({ length: 50 }, (_, index) => {
    const command = Buffer.from(GET_RANDOM)
    command.writeUInt16BE(index, 10)
    return command
  })
  client.socket.write(Buffer.concat(many))
  for (let index = 0; index < many.length; index += 1) assert.equal(rcOf(await client.read(10)), index)
  assert.equal(most, 1)
})

test('a client that sends without end and never reads is stopped by its own full socket', async (t) => {
  let answered = 0
  const edge = await openEdge(
    t,
    () => {
      answered += 1
      return Promise.resolve(Buffer.alloc(4096))
    },
    { stallTimeoutMs: 50 },
  )
  const client = await rawClient(t, edge.path)
  client.socket.pause()
  // More than the kernel holds, so that the client notices its end in the midst of writing.
  client.socket.write(Buffer.alloc(GET_RANDOM.byteLength * 500_000, GET_RANDOM))
  await client.ended
  // What kernel and stream hold, and no more: 500,000 answers would be 2 GB.
  assert.ok(answered < 1_000, `${answered} answers were made for nobody`)
})

const malformed: readonly (readonly [string, string])[] = [
  ['below the header', '8001000000090000017b0008'],
  ['zero', '8001000000000000017b0008'],
  ['of a byte more than the TPM takes', '8001000010010000017b0008'],
  ['beyond all bounds', '8001ffffffff0000017b0008'],
]
for (const [what, bytes] of malformed) {
  test(`a command with a size ${what} is handed on as a bare header, answered, and ends the connection`, async (t) => {
    const seen: number[] = []
    const edge = await openEdge(t, (command) => {
      seen.push(command.byteLength)
      return Promise.resolve(response(0x142))
    })
    const client = await rawClient(t, edge.path)
    client.socket.write(Buffer.from(bytes, 'hex'))
    client.socket.write(Buffer.alloc(100_000))
    assert.equal(rcOf(await client.read(10)), 0x142)
    client.socket.resume()
    await client.ended
    assert.deepEqual(seen, [10])
  })
}

test('half a command is not waited for without end', async (t) => {
  const edge = await openEdge(t, () => Promise.reject(new Error('must not be asked')), { partialTimeoutMs: 20 })
  const client = await rawClient(t, edge.path)
  client.socket.write(GET_RANDOM.subarray(0, 11))
  client.socket.resume()
  await client.ended
})

test('a client that closes its half still has its answer', async (t) => {
  const edge = await openEdgeOnTpm(t)
  const client = await rawClient(t, edge.path)
  client.socket.end(GET_RANDOM)
  assert.equal(rcOf(await client.read(20)), 0)
  client.socket.resume()
  await client.ended
})

test('a client that closes its half within a command is closed', async (t) => {
  const edge = await openEdge(t, () => Promise.reject(new Error('must not be asked')))
  const client = await rawClient(t, edge.path)
  client.socket.resume()
  client.socket.end(GET_RANDOM.subarray(0, 5))
  await client.ended
})

test('a client that goes away while its command runs takes nothing down', async (t) => {
  let finish: ((bytes: Buffer) => void) | undefined
  const asked = Promise.withResolvers<undefined>()
  const edge = await openEdge(t, () => {
    if (finish !== undefined) return Promise.resolve(response(0))
    asked.resolve(undefined)
    return new Promise((resolve) => (finish = resolve))
  })
  const gone = await rawClient(t, edge.path)
  gone.socket.write(GET_RANDOM)
  await asked.promise
  gone.socket.destroy()
  await gone.ended
  const other = await rawClient(t, edge.path)
  other.socket.write(GET_RANDOM)
  assert.equal(rcOf(await other.read(10)), 0)
  finish?.(response(0))
  other.socket.write(GET_RANDOM)
  assert.equal(rcOf(await other.read(10)), 0)
})

test('closing ends every connection and removes the sockets', async (t) => {
  const edge = await openEdge(t, () => new Promise(() => undefined))
  const client = await rawClient(t, edge.path)
  client.socket.write(GET_RANDOM)
  client.socket.resume()
  await edge.close()
  await client.ended
  await assert.rejects(stat(edge.path), { code: 'ENOENT' })
  await assert.rejects(stat(`${edge.path}.ctrl`), { code: 'ENOENT' })
})
