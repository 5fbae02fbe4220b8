import assert from 'node:assert/strict'
import test from 'node:test'
import { pino } from 'pino'
import { TouchstoneError } from '../../../src/core/index.ts'
import { problemBoard } from '../../../src/vtpm/broker/problems.ts'

function board() {
  let now = 0
  const lines: string[] = []
  const logger = pino({ base: null }, { write: (line) => void lines.push(line) })
  const problems = problemBoard({ logger, clock: { now: () => now } })
  return { problems, lines, pass: (ms: number) => (now += ms) }
}

test('each part clears its own problem, and one does not hide another', () => {
  const { problems } = board()
  problems.note('tpm', new TouchstoneError('device.unavailable'))
  problems.note('agent', new TouchstoneError('broker.agent'))
  problems.clear('tpm')
  problems.clear('secrets')
  assert.deepEqual(
    problems.all().map(({ source, code }) => [source, code]),
    [['agent', 'broker.agent']],
  )
})

test('a problem that goes on keeps its time and is told once', () => {
  const { problems, lines, pass } = board()
  for (let times = 0; times < 3; times++) {
    problems.note('agent', new TouchstoneError('broker.agent', 'nobody listens'))
    pass(1000)
  }
  assert.equal(problems.all()[0]?.time, '1970-01-01T00:00:00.000Z')
  assert.equal(lines.length, 1)
  problems.note('agent', new TouchstoneError('issue.verdict'))
  assert.equal(problems.all()[0]?.time, '1970-01-01T00:00:03.000Z')
})

test('what nobody expected has a code and a hint too, and its cause goes into the log', () => {
  const { problems, lines } = board()
  problems.note('secrets', new Error('ENOSPC: no space left on device'))
  const [problem] = problems.all()
  assert.equal(problem?.code, 'broker.failed')
  assert.match(problem.message, /ENOSPC/)
  assert.match(problem.hint, /full or read-only disk/)
  assert.match(lines[0] ?? '', /"stack"/)
})
