import assert from 'node:assert/strict'
import test from 'node:test'
import type { Command } from 'commander'
import { PATTERN_GROUPS } from '../../src/attest/index.ts'
import { buildProgram } from '../../src/cli/program.ts'
import { ERRORS } from '../../src/core/index.ts'
import { markdownFiles } from './markdown.ts'

const program = await buildProgram([], () => undefined)

/** How the program would take one line of a shell, or a mention in a text. `undefined`: as it should. */
function faultOf(words: readonly string[], isMention: boolean): string | undefined {
  let command: Command = program
  const rest = [...words]
  for (;;) {
    const [word] = rest
    if (command.commands.length === 0 || word === undefined || word.startsWith('-')) break
    const next = command.commands.find((each) => each.name() === word || each.aliases().includes(word))
    if (next === undefined) {
      // `touchstone policy` and prose behind it.
      if (isMention && command !== program) return undefined
      return `${command.name()} has no command ${word}`
    }
    command = next
    rest.shift()
  }
  const options = rest.filter((word) => /^--?[a-z]/.test(word)).map((word) => word.replace(/=.*/, ''))
  const unknown = options.find((word) => !knows(command, word))
  return unknown === undefined ? undefined : `${command.name()} has no option ${unknown}`
}

function knows(command: Command, option: string): boolean {
  if (['--help', '-h'].includes(option)) return true
  return command.options.some(({ long, short }) => long === option || short === option)
}

/** The words of each call of the program in a text: what stands behind it, to the end of the command. */
function callsIn(text: string): readonly (readonly string[])[] {
  const joined = text.replaceAll(/\\\n\s*/g, ' ')
  return [...joined.matchAll(/(?<![\w./"'-])(?:bin\/)?touchstone (?=[a-z-])([^\n|<>#;&)]*)/g)].map(([, call = '']) =>
    call
      .replaceAll(/'[^']*'|"[^"]*"/g, 'QUOTED')
      .split(/\s+/)
      .filter((word) => word !== '')
      // In a sentence.
      .map((word) => word.replace(/[.,:]+$/, '')),
  )
}

/** Where a sentence goes on behind a command that it mentions. */
const PROSE = /^(?:and|or|then|with|if|it|shows|lists)$/i

const faults = (text: string, isMention: boolean) =>
  callsIn(text).flatMap((call) => {
    const end = isMention ? call.findIndex((word) => PROSE.test(word)) : -1
    const fault = faultOf(end < 0 ? call : call.slice(0, end), isMention)
    return fault === undefined ? [] : [`touchstone ${call.join(' ')}: ${fault}`]
  })

for (const { path, code } of markdownFiles()) {
  const calls = code.flatMap(callsIn)
  if (calls.length === 0) continue
  test(`the ${calls.length} commands that ${path} shows are those of the program`, () => {
    assert.deepEqual(
      code.flatMap((block) => faults(block, false)),
      [],
    )
  })
}

test('commands that hints of errors name are those of the program', () => {
  const hints = Object.entries(ERRORS).flatMap(([name, { hint }]) =>
    faults(hint, true).map((fault) => `${name}: ${fault}`),
  )
  assert.deepEqual(hints, [])
})

test('commands that causes name are those of the program', () => {
  const patterns = PATTERN_GROUPS.flatMap((group) => group.patterns)
  assert.deepEqual(
    patterns.flatMap(({ id, next }) => faults(next, true).map((fault) => `${id}: ${fault}`)),
    [],
  )
})

test('examples in the help of commands are of commands and options that there are', () => {
  const all = (command: Command): readonly Command[] => [command, ...command.commands.flatMap(all)]
  const found = all(program).flatMap((command) => {
    let text = ''
    command.configureOutput({ writeOut: (part) => (text += part) })
    command.outputHelp()
    const examples = text.slice(text.indexOf('\nExample'))
    return faults(examples, false).map((fault) => `${command.name()} --help: ${fault}`)
  })
  assert.deepEqual(found, [])
})
