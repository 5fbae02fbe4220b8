import assert from 'node:assert/strict'
import test from 'node:test'
import { appraise } from '../../../src/attest/appraise.ts'
import { joinDocuments } from '../../../src/attest/learn/documents.ts'
import type { LearnTerms } from '../../../src/attest/learn/documents.ts'
import { isCode, learnFiles, literalPath, placesOf } from '../../../src/attest/learn/file-list.ts'
import type { ListedFile } from '../../../src/attest/learn/file-list.ts'
import { parsePolicy } from '../../../src/attest/policy.ts'
import { reviewPolicies } from '../../../src/attest/policy-review.ts'
import { parseImaLog } from '../../../src/eventlog/ima/parse-ima-log.ts'
import { imaMeasurement } from '../../../src/eventlog/ima/templates.ts'
import { evidenceOf, recordedBoot } from '../case.ts'

const TERMS: LearnTerms = { name: 'node', bank: 'sha256', state: 'active', now: 0 }
const honest = recordedBoot('honest')
const ELF = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2])

/** The files that the recorded node ran and read, as its package tree would have them. */
function filesOfNode(): ListedFile[] {
  const { entries, endian } = parseImaLog(honest.imaLog)
  return entries.slice(1).flatMap((entry) => {
    const measured = imaMeasurement(entry, endian)
    return measured === undefined ? [] : [{ path: measured.name, digest: measured.digest.toString('hex') }]
  })
}

function filesCheck(files: readonly ListedFile[]) {
  const [text = ''] = joinDocuments(learnFiles(files, 'root', [], TERMS).documents)
  assert.deepEqual(reviewPolicies([{ file: 'x', text }]), [])
  const { checks } = appraise({ ...evidenceOf(honest), policy: parsePolicy(text) })
  return checks.find(({ check }) => check === 'ima.files')
}

test('the allow-list of a tree accepts a node that runs nothing else', () => {
  const files = filesOfNode()
  assert.ok(files.length > 30)
  assert.equal(filesCheck(files)?.outcome, 'pass')
})

test('a file that is not in the tree, or lies elsewhere, is refused', () => {
  const [first, ...rest] = filesOfNode()
  assert.ok(first !== undefined)
  assert.deepEqual([filesCheck(rest)?.outcome, filesCheck(rest)?.code], ['fail', 'ima.file_unknown'])
  assert.equal(filesCheck([{ ...first, path: '/elsewhere' }, ...rest])?.code, 'ima.file_moved')
})

test('a name is meant as it is written, whatever globs make of its characters', () => {
  assert.equal(literalPath('/a*b?c\\d'), '/a\\*b\\?c\\\\d')
})

test('files of a package lie under /usr where directories were merged', () => {
  assert.deepEqual(placesOf('/bin/sh'), ['/bin/sh', '/usr/bin/sh'])
  assert.deepEqual(placesOf('/binary'), ['/binary'])
})

const CODE: readonly (readonly [string, string, number, Buffer, boolean])[] = [
  ['a program', '/bin/a', 0o755, ELF, true],
  ['a script', '/bin/a', 0o755, Buffer.from('#!'), true],
  ['a library', '/lib/a.so.1', 0o644, ELF, true],
  ['a packed kernel module', '/lib/modules/a.ko.zst', 0o644, Buffer.alloc(4), true],
  ['a document', '/usr/share/doc/a', 0o644, Buffer.from('text'), false],
  ['an empty file', '/a', 0o644, Buffer.alloc(0), false],
]
for (const [what, name, mode, head, is] of CODE) {
  test(`${what} is ${is ? '' : 'not '}code`, () => assert.equal(isCode(name, mode, head), is))
}

test('a tree of nothing teaches nothing', () => {
  assert.throws(() => learnFiles([], 'root', [], TERMS), { code: 'learn.nothing' })
})
