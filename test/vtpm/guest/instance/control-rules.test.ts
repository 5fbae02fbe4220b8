import assert from 'node:assert/strict'
import test from 'node:test'
import { CONTROL, parseControl, type ControlName } from '../../../../src/vtpm/guest/instance/control-commands.ts'
import {
  ATTACHED,
  decideControl,
  NOT_ATTACHED,
  type ControlState,
} from '../../../../src/vtpm/guest/instance/control-rules.ts'
import type { Attachment } from '../../../../src/vtpm/guest/instance/types.ts'

type Step = readonly [name: ControlName, requestHex?: string]

/** What each step of a sequence comes to: the kind of action, or the reason of a refusal. */
function run(attachment: Attachment, from: ControlState, steps: readonly Step[]): readonly string[] {
  let state = from
  return steps.map(([name, request = '']) => {
    const { action, next } = decideControl(attachment, state, { name, request: Buffer.from(request, 'hex') })
    state = next
    return action.kind === 'refuse' ? action.reason : action.kind
  })
}

const RESET: readonly Step[] = [
  ['STOP'],
  ['SET_BUFFERSIZE', '00000000'],
  ['STOP'],
  ['SET_BUFFERSIZE', '00000f80'],
  ['INIT', '00000000'],
]
const RESET_ACTIONS = ['answer', 'bufferSize', 'answer', 'bufferSize', 'reset']

void test('lets a virtual machine power on, set its locality, reset and leave, as QEMU 7.2 does', () => {
  const steps: readonly Step[] = [
    ['SET_DATAFD'],
    ['GET_CAPABILITY'],
    ...RESET,
    ['GET_TPMESTABLISHED'],
    ['SET_LOCALITY', '00000000'],
    ...RESET,
    ['CANCEL_TPM_CMD'],
    ['SHUTDOWN'],
  ]
  assert.deepEqual(run('qemu', NOT_ATTACHED, steps), [
    ...['attach', 'answer', ...RESET_ACTIONS, 'established', 'setLocality', ...RESET_ACTIONS, 'cancel', 'answer'],
  ])
})

const OUT_OF_SEQUENCE: readonly (readonly [string, ControlState, readonly Step[]])[] = [
  ['INIT alone', ATTACHED, [['INIT', '00000000']]],
  ['INIT after STOP alone', ATTACHED, [['STOP'], ['INIT', '00000000']]],
  ['INIT without a buffer size', ATTACHED, [['STOP'], ['SET_BUFFERSIZE', '00000000'], ['INIT', '00000000']]],
  ['SET_BUFFERSIZE without STOP', ATTACHED, [['SET_BUFFERSIZE', '00001000']]],
  ['INIT twice', ATTACHED, [...RESET, ['INIT', '00000000']]],
  ['a reset with something in between', ATTACHED, [...RESET.slice(0, 4), ['GET_CAPABILITY'], ['INIT', '00000000']]],
  ['INIT before a virtual machine is there', NOT_ATTACHED, [['INIT', '00000000']]],
  ['STOP before a virtual machine is there', NOT_ATTACHED, [['STOP']]],
  ['SHUTDOWN before a virtual machine is there', NOT_ATTACHED, [['SHUTDOWN']]],
  ['a second data channel', ATTACHED, [['SET_DATAFD']]],
  ['a reset after SHUTDOWN', ATTACHED, [['SHUTDOWN'], ['STOP']]],
]
for (const [name, from, steps] of OUT_OF_SEQUENCE) {
  void test(`refuses ${name}`, () => {
    assert.equal(run('qemu', from, steps).at(-1), 'control.sequence')
  })
}

const NEVER: readonly Step[] = [
  ['HASH_START'],
  ['HASH_DATA', '00000000'],
  ['HASH_END'],
  ['STORE_VOLATILE'],
  ['GET_STATEBLOB', '000000010000000100000000'],
  ['SET_STATEBLOB', '000000000000000100000000'],
  ['GET_CONFIG'],
  ['GET_INFO', '00'.repeat(16)],
  ['LOCK_STORAGE', '00000001'],
  ['SET_LOCALITY', '04'],
  ['SET_LOCALITY', 'ff'],
]
for (const [name, request] of [...NEVER, ['RESET_TPMESTABLISHED', '04'] satisfies Step]) {
  void test(`refuses ${name} ${request ?? ''} of a virtual machine`, () => {
    assert.deepEqual(run('qemu', ATTACHED, [[name, request ?? '']]), ['control.refused'])
  })
}

void test('refuses INIT that would take up state which was brought along', () => {
  assert.equal(run('qemu', ATTACHED, [...RESET.slice(0, 4), ['INIT', '00000001']]).at(-1), 'control.refused')
})

void test('a guest on a data socket may set locality 0 and cancel, and nothing else', () => {
  const allowed: Partial<Record<ControlName, string>> = {
    GET_CAPABILITY: 'answer',
    SET_LOCALITY: 'setLocality',
    CANCEL_TPM_CMD: 'cancel',
  }
  for (const name of Object.keys(CONTROL) as ControlName[]) {
    assert.deepEqual(run('socket', NOT_ATTACHED, [[name, '00'.repeat(16)]]), [allowed[name] ?? 'control.refused'], name)
  }
  assert.deepEqual(run('socket', NOT_ATTACHED, [['SET_LOCALITY', '01']]), ['control.refused'])
})

void test('does not offer state blobs, so that QEMU says at once that it cannot migrate', () => {
  const { action } = decideControl('qemu', ATTACHED, { name: 'GET_CAPABILITY', request: Buffer.alloc(0) })
  assert.ok(action.kind === 'answer')
  assert.equal(action.answer.toString('hex'), '00000000000034af')
})

void test('reads commands in the lengths that QEMU and tpm2-tss send, and no others', () => {
  const kind = (hex: string) => parseControl(Buffer.from(hex, 'hex')).kind
  assert.equal(kind('000000'), 'partial')
  assert.equal(kind('0000000500'), 'command')
  assert.equal(kind('0000000500000000'), 'command')
  assert.equal(kind('000000050000'), 'malformed')
  assert.equal(kind('00000002'), 'partial')
  assert.equal(kind('0000000200000000'), 'command')
  assert.equal(kind('000000020000000000'), 'malformed')
  assert.equal(kind('0000000100000001'), 'malformed')
  assert.equal(kind('00000014'), 'malformed')
  assert.equal(kind('ffffffff'), 'malformed')
  assert.equal(kind('0000000600'), 'malformed')
  assert.equal(kind('00000007ffffffff'), 'malformed')
  assert.equal(kind(`0000000d${'00'.repeat(80)}`), 'malformed')
})
