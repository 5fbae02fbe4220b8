import { nothing, struct, u32 } from '../../codec/index.ts'
import { TPM2B_CREATION_DATA } from '../creation.ts'
import { TPM2B_ENCRYPTED_SECRET, TPM2B_ID_OBJECT } from '../id-object.ts'
import {
  TPM2B_PRIVATE,
  TPM2B_SENSITIVE,
  TPM2B_SENSITIVE_CREATE,
  TPM2B_SENSITIVE_DATA,
  TPMS_CONTEXT,
  TPMT_TK,
} from '../objects.ts'
import { TPM2B_DATA, TPM2B_DIGEST, TPM2B_NAME } from '../primitives.ts'
import { TPM2B_PUBLIC } from '../public-area.ts'
import { TPML_PCR_SELECTION } from '../selection.ts'
import { command } from './command.ts'

const CREATION = struct({
  inSensitive: TPM2B_SENSITIVE_CREATE,
  inPublic: TPM2B_PUBLIC,
  outsideInfo: TPM2B_DATA,
  creationPCR: TPML_PCR_SELECTION,
})

/** Making objects, loading them, and moving them in and out of the TPM. */
export const OBJECT_COMMANDS = {
  CreatePrimary: command({
    code: 0x0131,
    handles: ['primaryHandle'],
    authorisations: 1,
    parameters: CREATION,
    makesHandle: true,
    response: struct({
      objectHandle: u32,
      outPublic: TPM2B_PUBLIC,
      creationData: TPM2B_CREATION_DATA,
      creationHash: TPM2B_DIGEST,
      creationTicket: TPMT_TK,
      name: TPM2B_NAME,
    }),
  }),
  Create: command({
    code: 0x0153,
    handles: ['parentHandle'],
    authorisations: 1,
    parameters: CREATION,
    response: struct({
      outPrivate: TPM2B_PRIVATE,
      outPublic: TPM2B_PUBLIC,
      creationData: TPM2B_CREATION_DATA,
      creationHash: TPM2B_DIGEST,
      creationTicket: TPMT_TK,
    }),
  }),
  Load: command({
    code: 0x0157,
    handles: ['parentHandle'],
    authorisations: 1,
    parameters: struct({ inPrivate: TPM2B_PRIVATE, inPublic: TPM2B_PUBLIC }),
    makesHandle: true,
    response: struct({ objectHandle: u32, name: TPM2B_NAME }),
  }),
  LoadExternal: command({
    code: 0x0167,
    handles: [],
    authorisations: 0,
    parameters: struct({ inPrivate: TPM2B_SENSITIVE, inPublic: TPM2B_PUBLIC, hierarchy: u32 }),
    makesHandle: true,
    response: struct({ objectHandle: u32, name: TPM2B_NAME }),
  }),
  ReadPublic: command({
    code: 0x0173,
    handles: ['objectHandle'],
    authorisations: 0,
    parameters: nothing,
    response: struct({ outPublic: TPM2B_PUBLIC, name: TPM2B_NAME, qualifiedName: TPM2B_NAME }),
  }),
  Unseal: command({
    code: 0x015e,
    handles: ['itemHandle'],
    authorisations: 1,
    parameters: nothing,
    response: struct({ outData: TPM2B_SENSITIVE_DATA }),
  }),
  ActivateCredential: command({
    code: 0x0147,
    handles: ['activateHandle', 'keyHandle'],
    authorisations: 2,
    parameters: struct({ credentialBlob: TPM2B_ID_OBJECT, secret: TPM2B_ENCRYPTED_SECRET }),
    response: struct({ certInfo: TPM2B_DIGEST }),
  }),
  EvictControl: command({
    code: 0x0120,
    handles: ['auth', 'objectHandle'],
    authorisations: 1,
    parameters: struct({ persistentHandle: u32 }),
    response: nothing,
  }),
  ContextSave: command({
    code: 0x0162,
    handles: ['saveHandle'],
    authorisations: 0,
    parameters: nothing,
    response: struct({ context: TPMS_CONTEXT }),
  }),
  ContextLoad: command({
    code: 0x0161,
    handles: [],
    authorisations: 0,
    parameters: struct({ context: TPMS_CONTEXT }),
    makesHandle: true,
    response: struct({ loadedHandle: u32 }),
  }),
  FlushContext: command({
    code: 0x0165,
    handles: [],
    authorisations: 0,
    parameters: struct({ flushHandle: u32 }),
    response: nothing,
  }),
} as const
