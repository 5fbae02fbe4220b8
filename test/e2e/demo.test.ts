import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { promisify } from 'node:util'
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from 'jose'
import { z } from 'zod'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..', '..')

const answerSchema = z.strictObject({
  nodeId: z.string(),
  deviceCertificate: z.string(),
  chain: z.tuple([z.string(), z.string()]),
  verdicts: z.array(
    z.strictObject({
      step: z.string(),
      status: z.string(),
      firstFailure: z
        .looseObject({
          check: z.string(),
          claim: z.string().optional(),
          expected: z.json().optional(),
          actual: z.json().optional(),
        })
        .optional(),
    }),
  ),
  result: z.string(),
  jwks: z.custom<JSONWebKeySet>((value) => typeof value === 'object' && value !== null && 'keys' in value),
})

test('the demo answers what the contract says, its certificates and token hold elsewhere, and nothing is left', async (t) => {
  const temporary = await mkdtemp(join(tmpdir(), 'ts-'))
  t.after(() => rm(temporary, { recursive: true }))
  const { stdout, stderr } = await run(process.execPath, [join(root, 'scripts/demo/main.ts'), '--json'], {
    maxBuffer: 16 << 20,
    env: { ...process.env, TMPDIR: temporary },
  })
  const answer = answerSchema.parse(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? ''))

  await t.test('each boot has the verdict that it deserves', () => {
    assert.deepEqual(
      answer.verdicts.map(({ step, status }) => `${step} ${status}`),
      [
        'honest affirming',
        'cmdline contraindicated',
        'secureboot contraindicated',
        'log contraindicated',
        'restored affirming',
      ],
    )
  })

  await t.test('the first failure of the command line names event, PCR, expected and actual', () => {
    const failure = answer.verdicts[1]?.firstFailure
    assert.equal(failure?.claim, 'kernel.commandLine')
    assert.match(JSON.stringify(failure.expected), /lockdown=integrity/)
    assert.match(JSON.stringify(failure.actual), /init=\/bin\/sh/)
    const event = z.object({ pcr: z.number(), type: z.string(), summary: z.string() }).parse(failure['event'])
    assert.equal(event.pcr, 8)
    assert.match(event.summary, /^kernel_cmdline: /)
  })

  await t.test('that of Secure Boot names the variable, that of the edited log the registers', () => {
    const [, , secureBoot, log] = answer.verdicts
    assert.equal(
      z.object({ summary: z.string() }).parse(secureBoot?.firstFailure?.['event']).summary,
      'SecureBoot: off',
    )
    assert.equal(log?.firstFailure?.check, 'quote.digest')
    const actual = z
      .object({ pcrs: z.object({ sha256: z.record(z.string(), z.string()) }) })
      .parse(log.firstFailure.actual)
    assert.deepEqual(Object.keys(actual.pcrs.sha256), ['8', '9'])
  })

  await t.test('four attacks are refused, each with a code', () => {
    for (const code of [
      'admission.claim',
      'enrol.certification_binding',
      'enrol.key_attributes',
      'attestation.replayed',
    ]) {
      assert.ok(stderr.includes(`[${code}]`), code)
    }
  })

  await t.test(
    'two guests have TPMs of their own, and are trusted for their boot, their host and the link to it',
    () => {
      const guests = [
        ...stderr.matchAll(/ guest +([0-9a-f-]{36}), generation 1\n.*Name of its EK +(000b[0-9a-f]{64})\n/g),
      ]
      assert.equal(guests.length, 2)
      assert.equal(new Set(guests.map(([, guest]) => guest)).size, 2)
      assert.equal(new Set(guests.map(([, , ekName]) => ekName)).size, 2)
      for (const [, guest = ''] of guests) {
        const short = guest.slice(0, 8)
        assert.match(
          stderr,
          new RegExp(`affirming +${short}: \\d+ checks passed, 5 on its host, 7 on the host's quote`),
        )
      }
    },
  )

  await t.test("an app's key in the TPM signed what the published JWK verifies", () => {
    const [, kid] = / key +ES256 ([\w-]{43})\n/.exec(stderr) ?? []
    assert.ok(kid !== undefined && stderr.includes(`order 17, by the key ${kid}`))
  })

  await t.test('old state, an old ledger and a boot that was not released are refused, each with its code', () => {
    for (const code of ['guest.state_rolled_back', 'ledger.rolled_back', 'vtpm.release_not_satisfied']) {
      assert.ok(stderr.includes(`[${code}]`), code)
    }
  })

  await t.test('a failure comes with its likely cause, and with what tells the boot from the good one', () => {
    assert.match(stderr, /cause +The kernel’s command line opens the machine: lockdown=none/)
    assert.match(stderr, /cause +Secure Boot was switched off/)
    assert.match(stderr, /cause +The log shows the last good boot, and the TPM measured something else \(PCR 8, 9\)/)
    assert.match(stderr, /~ #45 +kernel_cmdline: .*\n.*\{\+lockdown=none/)
  })

  await t.test('an update is tried on the fleet first, opens the secrets, and ends what was released before', () => {
    assert.match(stderr, /would change +3 of 3 nodes, affirming → contraindicated: kernel\.commandLine/)
    assert.match(stderr, /would change +nobody: 3 nodes stay as they are/)
    const [, release, counter, before] =
      / release +(\d+); counter in the TPM at (\d+), so (\d+) is over\n/.exec(stderr) ?? []
    assert.ok(release !== undefined && release === counter && Number(release) > Number(before))
    assert.match(stderr.replaceAll(/\s+/g, ' '), new RegExp(`release ${before}: it is over`))
  })

  await t.test('a guest on a tampered host is not trusted, though its own boot is good', () => {
    assert.match(stderr, /contraindicated +guest\.host-verdict: /)
  })

  await t.test('OpenSSL accepts the device certificate under the chain', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'touchstone-test-'))
    t.after(() => rm(directory, { recursive: true }))
    const file = async (name: string, pem: string) => {
      await writeFile(join(directory, name), pem)
      return join(directory, name)
    }
    const [issuing, anchor] = answer.chain
    const args = [
      'verify',
      '-x509_strict',
      '-CAfile',
      await file('root.pem', anchor),
      '-untrusted',
      await file('issuing.pem', issuing),
    ]
    await run('openssl', [...args, await file('device.pem', answer.deviceCertificate)])
  })

  await t.test('the token verifies with the published keys and is good for ten minutes more', async () => {
    const { payload } = await jwtVerify(answer.result, createLocalJWKSet(answer.jwks))
    assert.equal(payload.sub, answer.nodeId)
    assert.ok((payload.exp ?? 0) > Date.now() / 1000 + 600)
    assert.ok(z.object({ jkt: z.string() }).safeParse(payload['cnf']).success)
  })

  await t.test('no directory and no process of the demo is left, no TPM of a guest either', async () => {
    assert.deepEqual(await readdir(temporary), [])
    assert.deepEqual(await processesAbout(temporary), [])
  })
})

/** Command lines of running processes that name this directory. */
async function processesAbout(directory: string): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')))
  return lines.filter((line) => line.includes(directory)).map((line) => line.replaceAll('\0', ' '))
}
