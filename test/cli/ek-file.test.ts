import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readEks } from '../../src/cli/ek-file.ts'
import { isTouchstoneError } from '../../src/core/index.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'

for (const [certificate, area] of [
  ['ekrsa.der', 'ek_0x81010001.pub'],
  ['ekecc.der', 'ek_0x81010016.pub'],
] as const) {
  test(
    `the public area that swtpm made is among those made of its ${certificate}, and of the PEM of its key`,
    {
      skip: SKIP_WITHOUT_SHARED_DATA,
    },
    async (t) => {
      const directory = await mkdtemp(join(tmpdir(), 'ts-'))
      t.after(() => rm(directory, { recursive: true }))
      const path = sharedData(`enrol/${certificate}`)
      const pem = join(directory, 'ek.pem')
      await writeFile(pem, new X509Certificate(await readFile(path)).publicKey.export({ type: 'spki', format: 'pem' }))
      const made = await readFile(sharedData(`enrol/${area}`))
      for (const file of [path, pem, sharedData(`enrol/${area}`)]) {
        assert.ok(
          (await readEks(file)).some((each) => each.equals(made)),
          file,
        )
      }
    },
  )
}

test('a PEM of a key that no template has, and one of no key, are refused with what belongs there', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'ts-'))
  t.after(() => rm(directory, { recursive: true }))
  const path = join(directory, 'ek.pem')
  for (const text of [ED25519, '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n']) {
    await writeFile(path, text)
    await assert.rejects(
      readEks(path),
      (error) => isTouchstoneError(error, 'usage.file') && error.hint.includes('TPM2B_PUBLIC'),
    )
  }
})

// RFC 8410, section 10.1.
const ED25519 = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
`
