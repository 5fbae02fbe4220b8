import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { learnBootFiles } from '../../../src/attest/learn/boot-files.ts'
import type { BootFiles } from '../../../src/attest/learn/boot-files.ts'
import type { BootImage } from '../../../src/attest/learn/boot-image.ts'
import { joinDocuments } from '../../../src/attest/learn/documents.ts'
import type { Learned, LearnTerms } from '../../../src/attest/learn/documents.ts'
import { reviewPolicies } from '../../../src/attest/policy-review.ts'
import { bootFacts, parseEventLog } from '../../../src/eventlog/index.ts'
import { recordedBoot } from '../case.ts'
import { refusedFacts } from './learned-log.ts'
import { KERNEL_VERSION, recordedConfiguration } from './recorded-configuration.ts'

const TERMS: LearnTerms = { name: 'edge', bank: 'sha256', state: 'active', now: Date.UTC(2026, 10, 23) }
const NOTHING: BootFiles = { images: [], initrds: [], rootfs: [] }

function textOf(learned: Learned): string {
  const texts = joinDocuments(learned.documents)
  assert.deepEqual(reviewPolicies(texts.map((text, at) => ({ file: String(at), text }))), [])
  assert.equal(texts.length, 1)
  return texts[0] ?? ''
}

const messages = ({ notes }: Learned) => notes.map(({ message }) => message).join('\n')

/** As pesign and sha256sum have them of the packages that the recorded machine ran (policies/edge-image.references.yaml). */
const image = (label: string, digest: string, content = '00'.repeat(32)): BootImage => ({
  label,
  digest,
  content,
  isKernel: label.startsWith('vmlinuz'),
})
const RECORDED: BootFiles = {
  images: [
    image('shimx64.efi 16.1', '80a66d53a945d2286fcadd780fae1c225aa732079cd67b5225dc78aaab4e2ff8'),
    image('grubx64.efi', 'a68f6d71ebddaa19751ff8d729f67d11b0df8e4c49400c3e7e90de16119e1265'),
    image(
      `vmlinuz-${KERNEL_VERSION}`,
      '5f21ff2c0d5d899842b28a8b19901ba72cf7a7ab93c02a77fadc6ff72be85b31',
      '51349501a3d1ff83836437d2b365fd2d57f2feb8642d315e5181dec23d4c3275',
    ),
  ],
  initrds: [
    {
      name: `initrd.img-${KERNEL_VERSION}`,
      digest: '97ea1df4fcc8337067bd87bd0b92b6d297638b4bd7c318264521689adbc981ff',
    },
  ],
  rootfs: [],
  grub: { name: 'grub.cfg', text: recordedConfiguration('honest') },
}

test('what was predicted of its files accepts the recorded boot, and not the one whose configuration was edited', () => {
  const learned = learnBootFiles(RECORDED, TERMS)
  const text = textOf(learned)
  assert.deepEqual(refusedFacts(text, recordedBoot('honest').eventLog), [])
  assert.deepEqual(refusedFacts(text, recordedBoot('cmdline').eventLog), [
    'kernel.commandLine',
    'grub.commands',
    'boot.files',
  ])
  assert.doesNotMatch(messages(learned), /not predicted/)
})

test('every digest that the recorded machine measured into PCR 4 and 9 was predicted', () => {
  const facts = bootFacts(parseEventLog(recordedBoot('honest').eventLog), 'sha256')
  const text = textOf(learnBootFiles(RECORDED, TERMS))
  for (const { digest } of [...facts.bootApplications, ...facts.bootFiles]) assert.ok(text.includes(digest))
})

test('a file that the configuration reads and nobody gave is named', () => {
  const learned = learnBootFiles({ ...RECORDED, initrds: [] }, TERMS)
  assert.match(
    messages(learned),
    /line 5: initrdefi reads \/boot\/initrd\.img-6\.1\.0-56-cloud-amd64, which was not given/,
  )
  assert.deepEqual(refusedFacts(textOf(learned), recordedBoot('honest').eventLog), ['boot.files'])
})

test('candidates do not match before they are active', () => {
  const text = joinDocuments(learnBootFiles(RECORDED, { ...TERMS, state: 'candidate' }).documents)[0] ?? ''
  assert.match(text, /state: candidate/)
  assert.deepEqual(refusedFacts(text, recordedBoot('honest').eventLog), [
    'kernel.commandLine',
    'boot.applications',
    'boot.files',
  ])
})

const UNIFIED = join(import.meta.dirname, '..', '..', 'fixtures', 'unified-kernel')
const unified = JSON.parse(readFileSync(join(UNIFIED, 'images.json'), 'utf8')) as Record<
  'open' | 'secure-boot',
  BootImage
>
const logOf = (boot: 'open' | 'secure-boot') => readFileSync(join(UNIFIED, `${boot}.bin`))

for (const boot of ['open', 'secure-boot'] as const) {
  test(`what was predicted of a unified kernel accepts its boot (${boot}), and not that of another image`, () => {
    const text = textOf(learnBootFiles({ ...NOTHING, images: [unified[boot]] }, TERMS))
    assert.deepEqual(refusedFacts(text, logOf(boot)), [])
    const other = logOf(boot === 'open' ? 'secure-boot' : 'open')
    assert.deepEqual(refusedFacts(text, other), ['boot.applications', 'boot.files', 'pcr.11'])
  })
}

test('the kernel measures the command line of its image in UTF-16 with its end', () => {
  const { unified: inside } = unified.open
  const digest = createHash('sha256')
    .update(Buffer.from(`${inside?.commandLine ?? ''}\0`, 'utf16le'))
    .digest('hex')
  assert.equal(inside?.handedOver[0]?.value, digest)
  assert.ok(bootFacts(parseEventLog(logOf('open')), 'sha256').bootFiles.some((file) => file.digest === digest))
})

test('a root file system is judged by what EVE measures of it', () => {
  const text = textOf(learnBootFiles({ ...NOTHING, rootfs: [{ name: 'rootfs.img', digest: 'ab'.repeat(32) }] }, TERMS))
  assert.match(text, /eve:\n {4}rootfs:\n {6}references:\n {8}- edge-rootfs/)
})
