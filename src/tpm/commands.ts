import { GENERAL_COMMANDS } from './commands/general.ts'
import { KEY_COMMANDS } from './commands/keys.ts'
import { NV_COMMANDS } from './commands/nv.ts'
import { OBJECT_COMMANDS } from './commands/objects.ts'
import { PLATFORM_COMMANDS } from './commands/platform.ts'
import { SESSION_COMMANDS } from './commands/sessions.ts'

export type { Command } from './commands/command.ts'

/** The raw commands that Touchstone sends itself; what the node agent does goes through tpm2-tools. */
export const COMMANDS = {
  ...GENERAL_COMMANDS,
  ...OBJECT_COMMANDS,
  ...SESSION_COMMANDS,
  ...KEY_COMMANDS,
  ...NV_COMMANDS,
  ...PLATFORM_COMMANDS,
} as const
