import {
  atParameter,
  errorResponse,
  HEADER_BYTES,
  isSessionHandle,
  isTransientHandle,
  TPM_RC,
} from '../../tpm/index.ts'
import type { CommandFrame } from '../../tpm/index.ts'
import type { Refusal } from './command-checks.ts'
import type { Holder } from './holder.ts'
import { GONE } from './object-pool.ts'
import { contextIn, contextLoadCommand, rcOf, successResponse } from './raw-commands.ts'
import { claimNumberOf, savedHandleOf, sessionClaim, type TenantContexts } from './tenant-contexts.ts'
import type { TpmState } from './tpm-state.ts'

/** TPM2_ContextSave, ContextLoad and FlushContext as a tenant sends them. */
export interface ContextCommands {
  save(holder: Holder, command: Buffer, frame: CommandFrame, turn: number): Promise<Buffer | Refusal>
  /** `context`: the TPM2_ContextLoad to send to the TPM. A session needs none, it never left the lane. */
  load(holder: Holder, command: Buffer, frame: CommandFrame): Buffer | Refusal | { readonly context: Buffer }
  flush(holder: Holder, command: Buffer, frame: CommandFrame): Promise<Buffer | Refusal>
}

const HANDLE_AND_HEADER = HEADER_BYTES + 4
/** TPMS_CONTEXT without its blob: Part 2 section 14.5. */
const LEAST_CONTEXT = 18
/** savedHandle of a sequence object: Part 2 section 14.3, Table 244. */
const SEQUENCE_CONTEXT = 0x80000001

const NOT_OWN: Refusal = { rc: atParameter(TPM_RC.HANDLE, 1), reason: 'vtpm.not_own' }
const FOREIGN: Refusal = { rc: atParameter(TPM_RC.INTEGRITY, 1), reason: 'vtpm.context_foreign' }
/** What a TPM answers to a session context that was loaded before. */
const USED: Refusal = { rc: atParameter(TPM_RC.HANDLE, 1), reason: 'vtpm.context_foreign' }

export function contextCommands(state: TpmState, contexts: TenantContexts): ContextCommands {
  return {
    async save(holder, command, frame, turn) {
      if (frame.sessions.length > 0) return errorResponse(TPM_RC.AUTH_CONTEXT)
      if (command.byteLength !== HANDLE_AND_HEADER) return errorResponse(TPM_RC.COMMAND_SIZE)
      const handle = frame.handles[0] ?? 0
      if (isSessionHandle(handle)) {
        const session = holder.sessions.get(handle)
        if (session?.parkedAs !== 0) return { rc: TPM_RC.REFERENCE_H0, reason: 'vtpm.not_own' }
        session.parkedAs = ++holder.parked
        return successResponse(contexts.seal(ownerOf(holder), sessionClaim(handle, session.parkedAs)))
      }
      const object = isTransientHandle(handle) ? holder.objects.get(handle) : undefined
      if (object === undefined) return { rc: TPM_RC.REFERENCE_H0, reason: 'vtpm.not_own' }
      object.usedAt = turn
      if (object.reload === undefined || object.isSequence) {
        const rc = object.physical === 0 ? await state.objects.bringIn(object, turn) : 0
        if (rc === GONE) return { rc: TPM_RC.REFERENCE_H0, reason: 'vtpm.not_own' }
        if (rc !== 0) return errorResponse(rc)
        const response = await state.objects.save(object)
        if (rcOf(response) !== 0) return response
      }
      const { reload } = object
      if (reload === undefined) return errorResponse(TPM_RC.FAILURE)
      if (object.isSequence) object.reload = undefined
      return successResponse(contexts.seal(ownerOf(holder), contextIn(reload)))
    },

    load(holder, command, frame) {
      if (frame.sessions.length > 0) return errorResponse(TPM_RC.AUTH_CONTEXT)
      if (command.byteLength < HEADER_BYTES + LEAST_CONTEXT) return errorResponse(atParameter(TPM_RC.INSUFFICIENT, 1))
      const context = contexts.open(ownerOf(holder), contextIn(command))
      if (context === undefined) return FOREIGN
      const handle = savedHandleOf(context)
      if (!isSessionHandle(handle)) return { context: contextLoadCommand(context) }
      const session = holder.sessions.get(handle)
      if (session === undefined || session.parkedAs === 0 || session.parkedAs !== claimNumberOf(context)) return USED
      session.parkedAs = 0
      return successResponse(wordOf(handle))
    },

    async flush(holder, command, frame) {
      if (frame.sessions.length > 0) return errorResponse(TPM_RC.AUTH_CONTEXT)
      if (command.byteLength !== HANDLE_AND_HEADER) return errorResponse(TPM_RC.COMMAND_SIZE)
      const handle = frame.handles[0] ?? 0
      const object = holder.objects.get(handle)
      const session = holder.sessions.get(handle)
      if (object !== undefined) await state.objects.flush(object)
      else if (session !== undefined) await state.sessions.flush(session)
      else return NOT_OWN
      return successResponse()
    },
  }
}

/** Whether a TPM2_ContextLoad brings back a sequence object. */
export function isSequenceContext(command: Buffer): boolean {
  return savedHandleOf(contextIn(command)) === SEQUENCE_CONTEXT
}

/** A client of the broker and a tenant may have one name. */
function ownerOf({ config }: Holder): string {
  return `${config.class} ${config.name}`
}

function wordOf(value: number): Buffer {
  const word = Buffer.allocUnsafe(4)
  word.writeUInt32BE(value)
  return word
}
