import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { diffWords } from '../../../src/eventlog/diff/words.ts'

test('says which words of a command line are new, gone and kept', () => {
  assert.deepEqual(diffWords('linux root=/dev/sda1 quiet splash', 'linux root=/dev/sda1 init=/bin/sh splash'), [
    { in: 'both', text: 'linux root=/dev/sda1 ' },
    { in: 'before', text: 'quiet ' },
    { in: 'after', text: 'init=/bin/sh ' },
    { in: 'both', text: 'splash' },
  ])
})

test('a word at the end of the text is the same word as one before another', () => {
  assert.deepEqual(diffWords('a b', 'a b c'), [
    { in: 'both', text: 'a b ' },
    { in: 'after', text: 'c' },
  ])
})

test('both texts can be put together from the runs, but for their blanks', () => {
  const words = fc.array(fc.constantFrom('a', 'bb', 'c=1', 'd,e', '"'), { maxLength: 12 }).map((list) => list.join(' '))
  fc.assert(
    fc.property(words, words, (before, after) => {
      const runs = diffWords(before, after)
      const joined = (side: 'before' | 'after') =>
        runs
          .filter((run) => run.in === side || run.in === 'both')
          .map(({ text }) => text)
          .join('')
          .replaceAll(/\s/g, '')
      assert.equal(joined('before'), before.replaceAll(/\s/g, ''))
      assert.equal(joined('after'), after.replaceAll(/\s/g, ''))
    }),
  )
})

test('two long texts without a common word are told apart', () => {
  const text = (prefix: string) => Array.from({ length: 100_000 }, (_, at) => `${prefix}${at}`).join(' ')
  assert.deepEqual(
    diffWords(text('a'), text('b')).map((run) => run.in),
    ['before', 'after'],
  )
})
