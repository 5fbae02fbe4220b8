import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LIMITS } from '../../../src/attest/cel/environment.ts'
import { readExpression } from '../../../src/attest/cel/expression.ts'
import { READABLE } from '../../../src/attest/cel/variables.ts'
import { byBuf, byCelJs, expressionOf, ours } from './oracle.ts'

/** A boot as expressions see it: what is not here is not known. */
const boot = {
  firmware: { version: '1.10.2' },
  boot: {
    attempts: 2,
    order: [1, 0],
    images: [
      { digest: 'aa', attempt: 1 },
      { digest: 'bb', attempt: 2 },
    ],
    exitBootServices: true,
    options: [],
  },
  kernel: { commandLines: ['root=/dev/sda ro', 'x'], commandLine: 'root=/dev/sda ro', initrdPaths: [] },
  secureBoot: {
    enabled: true,
    dbx: { digest: 'dd', size: 10, hashCount: 2, hashes: ['a', 'b'], certificates: [{ fingerprint: 'f', owner: 'o' }] },
  },
  loader: {},
  userspace: {},
}
const variables = { boot, node: { labels: { site: 'lab' }, model: 'edge-100' }, pcrs: { '7': 'ab' } }

function answer(text: string) {
  return expressionOf(text).evaluate(variables)
}

function faultsOf(text: string): string[] {
  const read = readExpression(text)
  return 'faults' in read ? read.faults.map(({ at, message }) => `${at} ${message}`) : []
}

const agreed: Readonly<Record<string, boolean | 'error'>> = {
  'boot.boot.attempts == 2': true,
  'boot.boot.attempts + 1 > 2 && true': true,
  'boot.boot.images.all(i, i.digest != "")': true,
  'boot.boot.images.exists(i, i.digest == "bb")': true,
  'boot.boot.images.exists_one(i, i.attempt == 1)': true,
  'boot.boot.images.exists_one(i, i.attempt > 0)': false,
  'size(boot.boot.images.filter(i, i.attempt > 1)) == 1': true,
  'boot.boot.images.map(i, i.digest) == ["aa", "bb"]': true,
  '"aa" in boot.boot.images.map(i, i.digest)': true,
  'boot.boot.order == [1, 0]': true,
  'boot.boot.order + [3] == [1, 0, 3]': true,
  'boot.boot.order[0] == 1': true,
  'boot.boot.order[5] == 1': 'error',
  'boot.boot.images == boot.boot.images': true,
  'boot.secureBoot.setupMode': 'error',
  '!boot.secureBoot.setupMode': 'error',
  'boot.secureBoot.setupMode || true': true,
  'true || boot.secureBoot.setupMode': true,
  'boot.secureBoot.setupMode && false': false,
  'boot.secureBoot.setupMode || false': 'error',
  'has(boot.secureBoot.setupMode)': false,
  'has(boot.secureBoot.enabled)': true,
  'boot.boot.attempts / 0 == 1': 'error',
  'boot.boot.attempts % 2 == 0': true,
  '-boot.boot.attempts == -2': true,
  '-7 / boot.boot.attempts == -3 && -7 % boot.boot.attempts == -1': true,
  '9223372036854775807 + boot.boot.attempts > 0': 'error',
  '-9223372036854775807 - boot.boot.attempts < 0': 'error',
  'boot.secureBoot.dbx.certificates.all(c, c.subject == "x")': 'error',
  'boot.secureBoot.dbx.certificates.exists(c, c.fingerprint == "f" || c.subject == "x")': true,
  'node.labels.site == "lab"': true,
  'node.labels["site"] == "lab"': true,
  'node.labels.nope == "lab"': 'error',
  'has(node.labels.nope)': false,
  '"site" in node.labels': true,
  'node.labels.all(k, k == "site")': true,
  'boot.kernel.commandLines[0].contains("ro") ? true : false': true,
  'boot.boot.attempts == 3 ? boot.loader.name == "x" : true': true,
  'boot.boot.attempts == 2 ? boot.loader.name == "x" : true': 'error',
  'size("é😀" + boot.kernel.commandLines[1]) == 3': true,
  'boot.kernel.commandLine.startsWith("root=") && boot.kernel.commandLine.endsWith(" ro")': true,
  'true < boot.boot.exitBootServices': false,
  'boot.boot.images.all(i, boot.kernel.commandLines.exists(l, size(l) > i.attempt))': true,
}
for (const [text, expected] of Object.entries(agreed)) {
  test(`${text} is ${expected}, as others say`, () => {
    assert.equal(ours(text, variables), expected)
    assert.equal(byBuf(text, variables), expected)
    assert.equal(byCelJs(text, variables), expected)
  })
}

test('where the package that parses has an evaluator that differs, ours follows the specification', () => {
  const text = '"ABÉ".lowerAscii() == "abÉ" && boot.boot.exitBootServices'
  assert.equal(ours(text, variables), true)
  assert.equal(byBuf(text, variables), true)
  assert.equal(byCelJs(text, variables), false)
})

test('what is missing is named as it is written', () => {
  assert.deepEqual(answer('boot.userspace.machineId == "x"'), { unknown: 'boot.userspace.machineId is not known' })
  assert.deepEqual(answer('boot.boot.images.all(i, i.digest == "aa" || boot.kernel.path == "")'), {
    unknown: 'boot.kernel.path is not known',
  })
})

const overNothing = [
  'boot.boot.options.all(o, o.path == "")',
  '!boot.boot.options.exists(o, o.path == "")',
  'boot.boot.options.exists(o, o.path == "")',
  'size(boot.boot.options.filter(o, o.path == "")) == 0',
  '!("x" in boot.kernel.initrdPaths)',
  'subsetOf(boot.kernel.initrdPaths, ["x"])',
  'boot.boot.images.filter(i, i.attempt > 9).all(i, i.digest == "")',
]
for (const text of overNothing) {
  test(`${text} says that its list had nothing in it`, () => {
    const said = answer(text)
    assert.ok('holds' in said)
    assert.match(said.empty ?? '', /^boot\./)
  })
}

test('a list that was never gone through is not empty, and asking for its size is no answer about nothing', () => {
  for (const text of [
    'size(boot.boot.options) == 0 || boot.boot.options.all(o, o.path == "")',
    'size(boot.boot.options) == 0',
    'boot.boot.images.all(i, i.digest != "")',
  ]) {
    assert.deepEqual(answer(text), { holds: true })
  }
})

test('versions are compared by their numbers, and those of no known order are not compared', () => {
  assert.deepEqual(answer('versionAtLeast(boot.firmware.version, "1.2")'), { holds: true })
  assert.deepEqual(answer('versionBelow(boot.firmware.version, "1.9")'), { holds: false })
  assert.ok(
    'unknown' in
      expressionOf('versionAtLeast(boot.firmware.version, "1.2")').evaluate({
        boot: { firmware: { version: 'N1UET78W' } },
      }),
  )
})

test('globs match whole texts, with stars alone', () => {
  const line = { boot: { kernel: { commandLine: 'root=/dev/sda ro quiet' } } }
  const matches = (pattern: string) => expressionOf(`glob(boot.kernel.commandLine, "${pattern}")`).evaluate(line)
  for (const pattern of ['root=*', '*quiet', '*ro*', '*', 'root=/dev/sda ro quiet', 'root=*ro*quiet', '**quiet']) {
    assert.deepEqual(matches(pattern), { holds: true }, pattern)
  }
  for (const pattern of ['', 'root', 'root=?*x', '*quietly', 'root=/dev/sda ro quiet*quiet', '*ro*ro*ro*']) {
    assert.deepEqual(matches(pattern), { holds: false }, pattern)
  }
})

test('subsetOf asks for every member', () => {
  assert.deepEqual(answer('subsetOf(boot.boot.images.map(i, i.digest), ["bb", "aa", "cc"])'), { holds: true })
  assert.deepEqual(answer('subsetOf(boot.boot.images.map(i, i.digest), ["bb"])'), { holds: false })
  assert.deepEqual(answer('subsetOf(boot.boot.order, [0, 1])'), { holds: true })
})

test('an expression knows the claims and registers that it rests on', () => {
  const { reads, registers, pcrs } = expressionOf('boot.kernel.commandLine != "" && (pcrs[7] == "ab" || 9 in pcrs)')
  assert.deepEqual(
    reads.map(({ path }) => path),
    ['boot.kernel.commandLine'],
  )
  assert.deepEqual(registers, [7, 9])
  assert.deepEqual(pcrs, [7, 8, 9, 12])
})

const refused: Readonly<Record<string, readonly [string, string]>> = {
  'what does not parse': ['boot.secureBoot.enabled &&', '26 it ends here, and is not complete'],
  'a claim that there is not': ['boot.secureBoot.enabeld', '16 there is no claim enabeld here; did you mean enabled?'],
  'a group that there is not': [
    'boot.secureboot.enabled',
    '5 there is no claim secureboot here; did you mean secureBoot?',
  ],
  'a member that there is not': [
    'boot.boot.images.all(i, i.digset == "")',
    '26 there is no claim digset here; did you mean digest?',
  ],
  // Whatever does not exist is never known, so that !has() of it would always hold.
  'a presence of a claim that there is not': [
    '!has(boot.secureBoot.setupMod) && quote.safe',
    '21 there is no claim setupMod here; did you mean setupMode?',
  ],
  'a presence of a group that there is not': [
    'has(boot.secureBot) || quote.safe',
    '9 there is no claim secureBot here; did you mean secureBoot?',
  ],
  'a presence of a member that elements do not have': [
    'boot.boot.images.all(i, !has(i.digst))',
    '31 there is no claim digst here; did you mean digest?',
  ],
  'a presence within a value that has no members': [
    'has(boot.secureBoot.enabled.x) || quote.safe',
    '28 there is no claim x here',
  ],
  'a variable that there is not': ['bot.secureBoot.enabled', '0 there is no bot;'],
  'a claim that nothing vouches for': [
    'boot.kernel.untrustedKernel.digest == ""',
    '12 there is no claim untrustedKernel',
  ],
  'a group instead of a claim': ['has(boot.secureBoot)', '4 name a claim of boot.secureBoot'],
  'a variable by itself': ['size(node.labels) == 0 || boot == boot', '26 name a claim of boot'],
  'an answer that is no truth value': ['boot.kernel.commandLine', '0 its answer is a string, not true or false'],
  'values of different types': ['boot.boot.attempts == "2"', '0 these types do not go together: int == string'],
  'a regular expression': ['boot.kernel.commandLine.matches("(a+)+$")', '0 matches is not offered'],
  'a function that there is not': [
    'boot.kernel.commandLine.startWith("a")',
    '0 there is no function startWith; did you mean startsWith?',
  ],
  'functions of the package that are not ours': [
    'boot.kernel.commandLine.split(" ").size() > 1',
    '0 there is no function split',
  ],
  'a name for a part': ['cel.bind(x, boot.boot.attempts, x + x == 2)', '0 there is no function bind'],
  'conversions to anything': ['dyn(boot.boot.attempts) == 2', '0 there is no function dyn'],
  'an order of texts': ['boot.firmware.version >= "1.2"', '0 texts have no useful order: use versionAtLeast'],
  'a version of no order': ['versionAtLeast(boot.firmware.version, "latest")', '38 expected whole numbers'],
  'a pattern that is computed': ['glob("a", boot.kernel.commandLine)', '10 write the pattern out'],
  'a pattern of many stars': [`glob(boot.kernel.commandLine, "${'*a'.repeat(9)}")`, '30 a pattern has at most 8 stars'],
  'a double': ['boot.boot.attempts > 1.5', '21 only texts, whole numbers'],
  'nothing at all': ['boot.kernel.commandLine == null', '27 only texts, whole numbers'],
  bytes: ['boot.kernel.commandLine == string(b"a")', '27 there is no function string'],
  'a number of more than 64 bits': ['boot.boot.attempts < 9223372036854775808', '21 a number has at most 64 bits'],
  'a map': ['{"a": 1}.a == boot.boot.attempts', '1 maps cannot be written'],
  'a register by its name': ['pcrs["7"] == ""', '5 write the number of the register, 0 to 23'],
  'a register that no TPM has': ['pcrs[24] == ""', '5 write the number of the register, 0 to 23'],
  'a register that evidence chooses': ['pcrs[boot.boot.attempts] == ""', '5 write the number of the register'],
  'all registers': ['pcrs.all(p, p > 1)', '0 name a register by its number: pcrs[7]'],
  'a variable of a list with a meaning of its own': [
    'boot.boot.images.all(boot, boot.digest == "")',
    '21 boot has a meaning already',
  ],
  'lists within lists within lists': [
    'boot.boot.order.all(a, boot.boot.order.all(b, boot.boot.order.all(c, c == a)))',
    '46 at most 2 lists are gone through within each other',
  ],
  'a map() of three': ['boot.boot.images.map(i, i.attempt > 1, i.digest).size() > 0', '0 it takes a variable'],
  'what is always true': ['1 + 1 == 2', '0 it reads nothing of the evidence'],
  'more characters than anybody reads': [
    `boot.boot.attempts == ${'1'.repeat(LIMITS.characters)}`,
    '0 an expression has at most',
  ],
  'more parts than anybody reads': [`boot.boot.attempts == 0${' + 1'.repeat(600)}`, '1042 exceeded maxAstNodes'],
  'parentheses without end': [`${'('.repeat(99)}boot.secureBoot.enabled${')'.repeat(99)}`, '32 exceeded maxDepth'],
}
for (const [what, [text, fault]] of Object.entries(refused)) {
  test(`${what} is refused at its place`, () => {
    const faults = faultsOf(text)
    assert.ok(
      faults.some((each) => each.startsWith(fault)),
      faults.join('\n') || 'no fault',
    )
  })
}

test('every claim of the catalogue can be read under its type, and asks for its registers', () => {
  for (const { path, type, pcrs } of READABLE) {
    const text = type.startsWith('list<') || type.startsWith('map<') ? `size(${path}) > 0` : `has(${path})`
    assert.deepEqual(faultsOf(text), [], text)
    assert.deepEqual(
      expressionOf(text).pcrs,
      [...pcrs].sort((a, b) => a - b),
      path,
    )
  }
})

test('a list of any length costs a bounded number of steps', () => {
  const images = Array.from({ length: 200_000 }, (_, attempt) => ({ digest: 'aa', attempt }))
  const long = { boot: { boot: { images }, kernel: { commandLine: 'x'.repeat(1 << 20) } } }
  for (const text of [
    'boot.boot.images.all(i, i.digest == "aa")',
    'boot.boot.images.all(i, boot.boot.images.exists(j, j.attempt > i.attempt))',
    'size(boot.boot.images.map(i, i.digest)) == 0',
    'size(boot.boot.images.filter(i, i.attempt > 0)) == 0',
    'boot.boot.images.all(i, !boot.kernel.commandLine.contains(i.digest))',
    '"bb" in boot.boot.images.map(i, i.digest)',
  ]) {
    assert.deepEqual(expressionOf(text).evaluate(long), { unknown: 'it takes more than 50000 steps' }, text)
  }
})

test('a pattern that would keep a regular expression busy for hours is answered at once', () => {
  const text = `glob(boot.kernel.commandLine, "*a*a*a*a*a*a*ab")`
  assert.deepEqual(expressionOf(text).evaluate({ boot: { kernel: { commandLine: 'a'.repeat(65_536) } } }), {
    holds: false,
  })
})

test('names that nodes choose are names and nothing else', () => {
  const labels = JSON.parse('{ "__proto__": "a", "constructor": "b", "toString": "c" }') as Record<string, string>
  const said = (text: string, of: Record<string, string>) => expressionOf(text).evaluate({ node: { labels: of } })
  assert.deepEqual(said('node.labels["constructor"] == "b" && node.labels.__proto__ == "a"', labels), { holds: true })
  assert.ok('unknown' in said('node.labels["constructor"] == "b"', {}))
  assert.ok('unknown' in said('node.labels.toString == "b"', {}))
  assert.deepEqual(said('has(node.labels.constructor) || "__proto__" in node.labels', {}), { holds: false })
})

test('values that no claim has are unknown and never an error', () => {
  for (const value of [null, 1.5, Number.MAX_VALUE, { a: 1 }, [1]]) {
    const said = expressionOf('boot.secureBoot.enabled || boot.secureBoot.setupMode').evaluate({
      boot: { secureBoot: { enabled: value, setupMode: false } },
    })
    assert.ok('unknown' in said, JSON.stringify(value))
  }
})
