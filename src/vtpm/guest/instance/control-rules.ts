import { controlAnswer, RESULT, type ControlCommand, type ControlName } from './control-commands.ts'
import type { Attachment, RefusedControl } from './types.ts'

/**
 * What a guest's side may do on its control channel. Default deny: what has no rule is refused. CMD_INIT empties the PCRs,
 * so that a good log can be replayed into them; a state blob is the guest's keys in the clear; the HASH commands make a
 * dynamic launch that did not take place; locality 4 belongs to hardware.
 */

/** How far a virtual machine has come in the sequence that QEMU's devices send at power-on and at each reset. */
export interface ControlState {
  /** It brought its data channel (SET_DATAFD). */
  readonly attached: boolean
  /** `left`: it said SHUTDOWN, so it is about to end. */
  readonly step: 'running' | 'stopped' | 'sized' | 'left'
  /** The size that the last SET_BUFFERSIZE of this sequence asked for. */
  readonly bufferSize: number
}

export const NOT_ATTACHED: ControlState = { attached: false, step: 'running', bufferSize: 0 }
export const ATTACHED: ControlState = { attached: true, step: 'running', bufferSize: 0 }

export type ControlAction =
  | { readonly kind: 'answer'; readonly answer: Buffer }
  | { readonly kind: 'refuse'; readonly reason: RefusedControl['reason']; readonly result: number }
  | { readonly kind: 'attach' }
  | { readonly kind: 'cancel' }
  | { readonly kind: 'established' }
  | { readonly kind: 'resetEstablished'; readonly locality: number }
  | { readonly kind: 'setLocality'; readonly locality: number }
  /** Says what it would be; it is set with the reset. */
  | { readonly kind: 'bufferSize'; readonly size: number }
  /** Power-on or reset of the virtual machine: STOP, SET_BUFFERSIZE and INIT in one go. */
  | { readonly kind: 'reset'; readonly bufferSize: number }

export interface Decision {
  readonly action: ControlAction
  /** Of the connection from now on, when the action succeeds. */
  readonly next: ControlState
}

/** PTM_CAP_*, by bit number. Without the bits for state blobs QEMU does not even try to migrate. */
const CAPABILITIES: Readonly<Record<Attachment, readonly number[]>> = {
  qemu: [0, 1, 2, 3, 5, 7, 10, 12, 13],
  socket: [3, 5],
}

/** Highest locality that a guest's software may claim; the data channel's own framing lets it claim as many. */
const HIGHEST_LOCALITY = { qemu: 3, socket: 0 } as const

type Rule = (state: ControlState, command: ControlCommand) => Decision

const refuse =
  (reason: RefusedControl['reason'], result: number): Rule =>
  (state) => ({ action: { kind: 'refuse', reason, result }, next: state })

const refused = refuse('control.refused', RESULT.badOrdinal)
const outOfSequence = refuse('control.sequence', RESULT.badOrdinal)
const badLocality = refuse('control.refused', RESULT.badLocality)

/** Anything else in between breaks a reset off. */
const stay = (state: ControlState, action: ControlAction): Decision => ({
  action,
  next: state.step === 'left' ? state : { ...state, step: 'running' },
})

function capabilities(attachment: Attachment): Rule {
  const bits = CAPABILITIES[attachment].reduce((sum, bit) => sum + 2 ** bit, 0)
  const answer = controlAnswer('GET_CAPABILITY', 0, bits)
  return (state) => stay(state, { kind: 'answer', answer })
}

function locality(attachment: Attachment): Rule {
  return (state, command) => {
    const wanted = command.request.readUInt8(0)
    if (wanted > HIGHEST_LOCALITY[attachment]) return badLocality(state, command)
    return stay(state, { kind: 'setLocality', locality: wanted })
  }
}

/** Only for a virtual machine that is there, and not for one that has said that it ends. */
const attachedOnly =
  (rule: Rule): Rule =>
  (state, command) =>
    state.attached && state.step !== 'left' ? rule(state, command) : outOfSequence(state, command)

const RULES: Readonly<Record<Attachment, Partial<Readonly<Record<ControlName, Rule>>>>> = {
  // What tpm2-tss's swtpm TCTI sends: SET_LOCALITY(0) when it opens, and CANCEL.
  socket: {
    GET_CAPABILITY: capabilities('socket'),
    SET_LOCALITY: locality('socket'),
    CANCEL_TPM_CMD: (state) => stay(state, { kind: 'cancel' }),
  },
  // backends/tpm/tpm_emulator.c and hw/tpm of QEMU 7.2, as traced: docs/adr/0011.
  qemu: {
    GET_CAPABILITY: capabilities('qemu'),
    SET_DATAFD: (state, command) =>
      state.attached ? outOfSequence(state, command) : { action: { kind: 'attach' }, next: ATTACHED },
    CANCEL_TPM_CMD: attachedOnly((state) => stay(state, { kind: 'cancel' })),
    GET_TPMESTABLISHED: attachedOnly((state) => stay(state, { kind: 'established' })),
    SET_LOCALITY: attachedOnly(locality('qemu')),
    RESET_TPMESTABLISHED: attachedOnly((state, command) => {
      const wanted = command.request.readUInt8(0)
      if (wanted > HIGHEST_LOCALITY.qemu) return badLocality(state, command)
      return stay(state, { kind: 'resetEstablished', locality: wanted })
    }),
    // Begins a reset, and does nothing by itself: a TPM that was stopped has lost its PCRs already.
    STOP: attachedOnly((state) => ({
      action: { kind: 'answer', answer: controlAnswer('STOP', RESULT.success) },
      next: { attached: true, step: 'stopped', bufferSize: state.step === 'sized' ? state.bufferSize : 0 },
    })),
    SET_BUFFERSIZE: attachedOnly((state, command) => {
      if (state.step !== 'stopped') return outOfSequence(state, command)
      const size = command.request.readUInt32BE(0)
      const bufferSize = size === 0 ? state.bufferSize : size
      return { action: { kind: 'bufferSize', size }, next: { attached: true, step: 'sized', bufferSize } }
    }),
    INIT: attachedOnly((state, command) => {
      if (state.step !== 'sized' || state.bufferSize === 0) return outOfSequence(state, command)
      // PTM_INIT_FLAG_DELETE_VOLATILE: only a machine that was migrated here sends it, and state does not come this way.
      if (command.request.readUInt32BE(0) !== 0) return refused(state, command)
      return { action: { kind: 'reset', bufferSize: state.bufferSize }, next: ATTACHED }
    }),
    // QEMU's last word. It must not end the process: there is a TPM2_Shutdown to send first.
    SHUTDOWN: attachedOnly(() => ({
      action: { kind: 'answer', answer: controlAnswer('SHUTDOWN', RESULT.success) },
      next: { attached: true, step: 'left', bufferSize: 0 },
    })),
  },
}

export function decideControl(attachment: Attachment, state: ControlState, command: ControlCommand): Decision {
  return (RULES[attachment][command.name] ?? refused)(state, command)
}
