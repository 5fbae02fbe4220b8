import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import fc from 'fast-check'
import { predictGrub } from '../../../src/attest/learn/grub-run.ts'
import { isTouchstoneError } from '../../../src/core/index.ts'
import { bootFacts, parseEventLog } from '../../../src/eventlog/index.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../../fixtures/shared-data.ts'
import { recordedBoot } from '../case.ts'
import { recordedConfiguration } from './recorded-configuration.ts'

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const factsOf = (log: Buffer) => bootFacts(parseEventLog(log), 'sha256')

for (const boot of ['honest', 'cmdline', 'secureboot-off'] as const) {
  test(`the configuration of the recorded boot "${boot}" predicts what its GRUB measured`, () => {
    const text = recordedConfiguration(boot)
    const facts = factsOf(recordedBoot(boot).eventLog)
    assert.equal(sha256(text), facts.bootFiles[0]?.digest, 'this is the text that GRUB read')
    const { commands, commandLines, files, unpredicted, entry } = predictGrub(text)
    const measured = facts.grub.commands.map((command) => command.text)
    // Before them, the configuration that is built into GRUB looks for this one.
    const start = measured.findIndex((command) => command.startsWith('source ')) + 1
    assert.deepEqual(commands, measured.slice(start))
    assert.deepEqual(
      commandLines,
      facts.kernel.commandLines.map((line) => line.text),
    )
    // The search reads the kernel as well; the first file is the configuration.
    assert.deepEqual(
      files.map(({ command }) => command),
      ['search', 'linuxefi', 'initrdefi'],
    )
    assert.equal(facts.bootFiles.length, 1 + files.length)
    assert.deepEqual([entry, unpredicted], ['edge node', []])
  })
}

test('the menu of a cloud image predicts the entry that its default names', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  const facts = factsOf(readFileSync(sharedData('eventlogs/gce-cos101.bin')))
  const measured = facts.grub.commands.map(({ text }) => text)
  // Its conditions stand between the commands; without them, these are the lines of its configuration.
  const lines = measured.filter((text) => !text.startsWith('['))
  const menu = lines.slice(
    0,
    lines.findIndex((text) => text.startsWith('setparams')),
  )
  const config = menu.map((text) => text.replace(/^menuentry ([^{]*) \{/, "menuentry '$1' {")).join('\n')
  const { commands, commandLines, entry } = predictGrub(config)
  assert.equal(entry, 'verified image A')
  assert.deepEqual(commands, lines)
  // An argument with blanks in it is quoted by some versions.
  assert.ok(facts.kernel.commandLines.every(({ text }) => commandLines.includes(text)))
  assert.equal(commandLines.length, 2)
})

const MEASURED: readonly (readonly [string, string, readonly string[]])[] = [
  ['words are joined by one blank', 'echo  a\tb', ['echo a b']],
  ['a comment is nothing', '# a\necho b # c', ['echo b']],
  ['quotes are taken away', `echo 'a b' "c d" e\\ f`, ['echo a b c d e f']],
  ['empty quotes are a word', 'echo "" a', ['echo  a']],
  ['a line goes on behind a backslash', 'echo a \\\n b', ['echo a b']],
  ['statements end with a semicolon too', 'echo a; echo b', ['echo a', 'echo b']],
  ['variables are known once they are set', 'set a=1\nb=$a$a\necho ${b}x', ['set a=1', 'b=11', 'echo 11x']],
  [
    'a variable outside of quotes is cut at its blanks',
    'set a=" x  y "\necho 1$a 2\necho "1$a"',
    ['set a= x  y ', 'echo 1 x y 2', 'echo 1 x  y '],
  ],
  ['no variable is in single quotes', `echo '$a'`, ['echo $a']],
  ['functions run where they are called', 'function f {\n echo $1-$#\n}\nf x y', ['f x y', 'echo x-2']],
  ['a function ends where it returns', 'function f {\n echo 1\n return\n echo 2\n}\nf', ['f', 'echo 1', 'return']],
  [
    'a block is measured as it is written',
    "menuentry 'a b' --class c {\n  echo d # e\n}",
    ['menuentry a b --class c {\n  echo d # e\n}', 'setparams a b', 'echo d'],
  ],
]
for (const [what, config, commands] of MEASURED) {
  test(`GRUB's commands: ${what}`, () => {
    const predicted = predictGrub(config)
    assert.deepEqual([predicted.commands, predicted.unpredicted], [commands, []])
  })
}

const NOT_PREDICTED: readonly (readonly [string, string, number, RegExp, readonly string[]])[] = [
  ['a condition', 'echo a\nif [ $x ]; then\n echo b\nfi\necho c', 2, /which branch/, ['echo a', 'echo c']],
  ['a loop', 'for i in 1 2; do echo $i; done\necho c', 1, /how often this for/, ['echo c']],
  ['a variable of the machine', 'echo $root\necho c', 1, /\$root is a variable/, ['echo c']],
  ['what a condition may have set', 'set a=1\nif true; then set a=2; fi\necho $a', 3, /\$a is/, ['set a=1']],
  ['what a search found', 'search --set=d --label x\necho $d', 2, /\$d is/, ['search --set=d --label x']],
  ['another script', 'set a=1\nsource /x.cfg\necho $a', 2, /another script/, ['set a=1', 'source /x.cfg']],
  ['variables from a file', 'set a=1\nload_env\necho $a', 3, /\$a is/, ['set a=1', 'load_env']],
  ['names of files', 'cat (hd0)/*', 1, /stands for/, []],
  ['modules on the disk', 'insmod gzio', 1, /not built in/, ['insmod gzio']],
  ['entries of the disk', 'blscfg', 1, /entries from the disk/, ['blscfg']],
  ['functions without an end', 'function f {\n f\n}\nf', 2, /too long/, []],
]
for (const [what, config, line, why, commands] of NOT_PREDICTED) {
  test(`GRUB's commands: ${what} cannot be predicted, which is said with its line`, () => {
    const predicted = predictGrub(config)
    assert.ok(
      predicted.unpredicted.some((each) => each.line === line && why.test(each.why)),
      JSON.stringify(predicted.unpredicted),
    )
    if (commands.length > 0) assert.deepEqual(predicted.commands, commands)
  })
}

const MENU = `menuentry 'one' --id first { linux /k1 a }\nmenuentry 'two' { linux /k2 b }\nsubmenu 'more' { menuentry 'three' { true } }\n`
const CHOICES: readonly (readonly [string, string, string | undefined, string | undefined])[] = [
  ['the first without a default', MENU, undefined, 'one'],
  ['by number', `set default=1\n${MENU}`, undefined, 'two'],
  ['by title', `set default=two\n${MENU}`, undefined, 'two'],
  ['by id', `set default=first\n${MENU}`, undefined, 'one'],
  ['the first where the default is none', `set default=nine\n${MENU}`, undefined, 'one'],
  ['as somebody said', MENU, 'two', 'two'],
  [
    'none where the default is a variable of the machine',
    `set default="\${saved_entry}"\n${MENU}`,
    undefined,
    undefined,
  ],
  ['as somebody said, whatever the default', `set default="\${saved_entry}"\n${MENU}`, '1', 'two'],
  ['none in a submenu', `set default=2\n${MENU}`, undefined, undefined],
  [
    'none by number where entries may be missing',
    `if true; then\n menuentry 'zero' { true }\nfi\n${MENU}`,
    undefined,
    undefined,
  ],
  [
    'by title where entries may be missing',
    `set default=two\nif true; then\n menuentry 'zero' { true }\nfi\n${MENU}`,
    undefined,
    'two',
  ],
  ['none that is not there', MENU, 'four', undefined],
]
for (const [what, config, wanted, entry] of CHOICES) {
  test(`the entry that GRUB boots: ${what}`, () => {
    const predicted = predictGrub(config, wanted)
    assert.equal(predicted.entry, entry)
    if (entry === undefined) assert.ok(predicted.unpredicted.some(({ why }) => why.includes('entry')))
  })
}

test('a command line with quotes is there as each version of GRUB writes it', () => {
  const { commandLines } = predictGrub(`linux /k 'a="b c"' d\\\\e`)
  assert.deepEqual(commandLines, ['/k "a=\\"b c\\"" d\\\\e', '/k "a="b c"" d\\e', '/k a="b c" d\\e'])
})

const grubScriptCheck = spawnSync('grub-script-check', ['--version']).status === 0

const REFUSED = [
  'echo "a',
  "echo 'a",
  'menuentry x {',
  '}',
  'if true; then echo',
  'echo a | b',
  'function f',
  'for i in 1; do echo',
]
for (const config of REFUSED) {
  test(`what GRUB does not read is refused: ${config}`, () => {
    assert.throws(() => predictGrub(config), { code: 'learn.grub' })
    if (grubScriptCheck) assert.notEqual(spawnSync('grub-script-check', { input: `${config}\n` }).status, 0)
  })
}

test(
  'what is read here is what GRUB reads',
  { skip: grubScriptCheck ? false : 'grub-script-check is not installed' },
  () => {
    for (const config of [...MEASURED, ...NOT_PREDICTED].map(([, text]) => text)) {
      const { status, stderr } = spawnSync('grub-script-check', { input: `${config}\n` })
      assert.equal(status, 0, `${config}: ${stderr.toString()}`)
    }
  },
)

test('a configuration with anything changed is followed, or refused with a code', () => {
  const good = `${recordedConfiguration('honest')}function f { return }\nset a="$b"\nif [ -f x ]; then f; fi\n`
  fc.assert(
    fc.property(fc.nat({ max: good.length - 1 }), fc.string({ maxLength: 6 }), fc.nat({ max: 8 }), (at, put, cut) => {
      try {
        predictGrub(good.slice(0, at) + put + good.slice(at + cut))
      } catch (error) {
        assert.ok(isTouchstoneError(error, 'learn.grub'), String(error))
      }
    }),
    { numRuns: 1000 },
  )
})

test('a script that calls itself twice in each step ends', () => {
  const config = `${Array.from({ length: 30 }, (_, at) => `function f${at} { f${at + 1}; f${at + 1}; }`).join('\n')}\nf0`
  assert.ok(predictGrub(config).unpredicted.some(({ why }) => why.includes('too long')))
})
