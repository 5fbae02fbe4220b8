import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { replayImaLog } from '../../src/eventlog/ima/replay-ima-log.ts'
import { bufferEntry, fileEntry } from '../eventlog/build-ima-log.ts'
import { appraiseIma, imaPolicy, said } from './ima-case.ts'

const SKIP = existsSync('/usr/bin/evmctl') ? false : 'evmctl is not installed: scripts/setup installs ima-evm-utils'

const KINDS = {
  rsa: ['-newkey', 'rsa:2048'],
  p256: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  p384: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
} as const

/** A key and its certificate by OpenSSL, and a file that evmctl signed with it, in a directory that is removed. */
function signedFile(t: { after(done: () => void): void }, kind: keyof typeof KINDS, hash: string) {
  const directory = mkdtempSync(join(tmpdir(), 'ima-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  const at = (name: string) => join(directory, name)
  const run = (program: string, ...args: string[]) =>
    execFileSync(program, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] }).toString()
  run('openssl', 'req', '-x509', ...KINDS[kind], '-nodes', '-keyout', 'key.pem', '-out', 'cert.pem', '-subj', '/CN=ima')
  run('openssl', 'x509', '-in', 'cert.pem', '-outform', 'der', '-out', 'cert.der')
  const path = at('tool')
  writeFileSync(path, `what ${kind} signed\n`)
  run('evmctl', 'ima_sign', '--sigfile', '-a', hash, '--key', 'key.pem', path)
  const content = readFileSync(path)
  return {
    at,
    run,
    path,
    content,
    signature: readFileSync(`${path}.sig`),
    certificate: readFileSync(at('cert.pem'), 'utf8'),
  }
}

for (const kind of ['rsa', 'p256', 'p384'] as const) {
  test(
    `a file that evmctl signed with a key of ${kind} is a signed one, by certificate and by public key`,
    { skip: SKIP },
    (t) => {
      const { run, path, content, signature, certificate } = signedFile(t, kind, 'sha256')
      const publicKey = run('openssl', 'x509', '-in', 'cert.pem', '-pubkey', '-noout')
      for (const pem of [certificate, publicKey]) {
        const policy = imaPolicy(`keys: [{ name: k, publicKey: ${JSON.stringify(pem)} }]`)
        assert.deepEqual(said(appraiseIma(policy, [fileEntry(path, content, signature)]), 'ima.files'), ['pass'])
        const changed = fileEntry(path, 'trojan', signature)
        assert.deepEqual(said(appraiseIma(policy, [changed]), 'ima.files'), [`fail ima.signature ${path}`])
      }
    },
  )
}

test(
  'evmctl replays the logs of these tests to the values that ours does, and verifies the same signatures',
  { skip: SKIP },
  (t) => {
    const { at, run, path, content, signature } = signedFile(t, 'rsa', 'sha256')
    const log = Buffer.concat([
      fileEntry(path, content, signature),
      bufferEntry('.ima', 'key'),
      fileEntry('/bin/sh', 'x'),
      readFileSync(new URL('../fixtures/ima/evm-sig.bin', import.meta.url)),
    ])
    writeFileSync(at('log.bin'), log)
    for (const bank of ['sha1', 'sha256'] as const) {
      const value = replayImaLog(log, bank).value.toString('hex')
      const rows = Array.from({ length: 24 }, (_, pcr) => {
        return `PCR-${String(pcr).padStart(2, '0')}: ${pcr === 10 ? value : '00'.repeat(value.length / 2)}\n`
      })
      writeFileSync(at('pcrs'), rows.join(''))
      const args = [
        'ima_measurement',
        '--pcrs',
        `${bank},${at('pcrs')}`,
        '--verify-sig',
        '--key',
        at('cert.der'),
        '-v',
        'log.bin',
      ]
      const told = run('sh', '-c', `evmctl ${args.join(' ')} 2>&1`)
      assert.match(told, new RegExp(`${bank} PCR-10: succeed at entry 8`))
      assert.match(told, /tool: verification is OK/)
    }
  },
)
