import { HEADER_BYTES, splitCommand, TPM_RC } from '../../tpm/index.ts'
import type { TpmProfile } from './command-attributes.ts'
import { COMMAND_CHECKS, judgeHandles, type Refusal } from './command-checks.ts'
import { ruleOf } from './command-rules.ts'
import type { Job } from './command-turn.ts'
import type { Holder } from './holder.ts'

/** A command that goes no further. `code` is 0 where it was too short to have one. */
export interface Refused {
  readonly refusal: Refusal
  readonly code: number
  readonly name: string
}

export type Judged = Job | Refused

export function isJob(judged: Judged): judged is Job {
  return 'frame' in judged
}

/**
 * Judges a command by itself, before it waits for a turn: its frame, whether this class may send it, the handles that
 * name hierarchies and ranges, its parameters. Below a microsecond for a command without parameters to check.
 */
export function commandJudge(profile: TpmProfile): (holder: Holder, command: Buffer) => Judged {
  const handlesOf = (code: number): number | undefined => profile.attributesOf(code)?.handles

  return (holder, command) => {
    const frame = splitCommand(command, handlesOf, profile.maxCommandSize)
    if (typeof frame === 'number') {
      const isUnknown = frame === TPM_RC.COMMAND_CODE
      return refused(command, { rc: frame, reason: isUnknown ? 'vtpm.command_unknown' : 'vtpm.malformed' })
    }
    const rule = ruleOf(frame.code)
    const attributes = profile.attributesOf(frame.code)
    if (rule === undefined || attributes === undefined) {
      return refused(command, { rc: TPM_RC.COMMAND_CODE, reason: 'vtpm.command_unknown' })
    }
    const { config, parent } = holder
    const permission = rule.classes[config.class]
    if (permission.denied !== undefined) {
      return refused(command, { rc: TPM_RC.COMMAND_CODE, reason: permission.denied })
    }
    const refusal =
      judgeHandles(frame, permission, config, parent !== undefined) ??
      (permission.check === undefined ? undefined : COMMAND_CHECKS[permission.check](command, frame, config))
    return refusal === undefined ? { holder, command, frame, rule, permission, attributes } : refused(command, refusal)
  }
}

function refused(command: Buffer, refusal: Refusal): Refused {
  const code = command.byteLength < HEADER_BYTES ? 0 : command.readUInt32BE(6)
  return { refusal, code, name: ruleOf(code)?.name ?? 'unknown' }
}
