/** `now`: worth sending again as soon as an object or session was flushed; `later`: after a pause. */
export type Retry = 'no' | 'later' | 'now'

export interface RcRow {
  readonly name: string
  readonly meaning: string
  readonly hint: string
  readonly retry: Retry
}

type Row = readonly [name: string, meaning: string, hint?: string, retry?: Retry]

const ASK = 'This points to a defect in the software that made the command.'
const LATER = 'Wait a moment and send the same command again.'
const FLUSH = 'Flush or save what is no longer in use (tpm2_flushcontext), or reach the TPM through a resource manager.'

// TPM 2.0 Library Part 2 section 6.6.3, revision 1.83.

/** Format one: the code is the low six bits, and the response says which handle, parameter or session it is about. */
export const FORMAT_ONE: Readonly<Record<number, Row>> = {
  0x01: ['TPM_RC_ASYMMETRIC', 'the asymmetric algorithm is not supported or not correct'],
  0x02: ['TPM_RC_ATTRIBUTES', 'the attributes of the object do not allow this', 'Check the attributes of the key.'],
  0x03: ['TPM_RC_HASH', 'the hash algorithm is not supported or not appropriate', 'Choose a hash that this TPM has.'],
  0x04: [
    'TPM_RC_VALUE',
    'a value is out of range or not correct for its place',
    'Check the public data against the key.',
  ],
  0x05: [
    'TPM_RC_HIERARCHY',
    'the hierarchy is not enabled or not correct here',
    'Enable the hierarchy in the firmware setup.',
  ],
  0x07: ['TPM_RC_KEY_SIZE', 'the key size is not supported', 'Choose a key size that this TPM has.'],
  0x08: ['TPM_RC_MGF', 'the mask generation function is not supported'],
  0x09: ['TPM_RC_MODE', 'the mode of operation is not supported'],
  0x0a: ['TPM_RC_TYPE', 'the type of the value is not appropriate for its use', 'Check the type of the key.'],
  0x0b: [
    'TPM_RC_HANDLE',
    'the handle is not correct: nothing is there',
    'List handles with tpm2_getcap; a cleared TPM has lost them.',
  ],
  0x0c: ['TPM_RC_KDF', 'the key derivation function is not supported or not appropriate'],
  0x0d: ['TPM_RC_RANGE', 'a value is out of the allowed range', 'Check sizes and offsets.'],
  0x0e: [
    'TPM_RC_AUTH_FAIL',
    'the authorisation is wrong, and the failure was counted towards lockout',
    'Check the authorisation value before trying again: a few failures lock the TPM.',
  ],
  0x0f: ['TPM_RC_NONCE', 'a nonce has an invalid size or value'],
  0x10: ['TPM_RC_PP', 'the command needs an assertion of physical presence', 'Confirm it at the machine.'],
  0x12: [
    'TPM_RC_SCHEME',
    'the scheme is not supported or not the one of the key',
    'Sign with the scheme in the public area of the key.',
  ],
  0x15: ['TPM_RC_SIZE', 'a structure is the wrong size', 'Check that the file is whole and of the expected type.'],
  0x16: ['TPM_RC_SYMMETRIC', 'the symmetric algorithm is not supported or not appropriate'],
  0x17: ['TPM_RC_TAG', 'a structure has an incorrect tag'],
  0x18: ['TPM_RC_SELECTOR', 'a union has an incorrect selector'],
  0x1a: ['TPM_RC_INSUFFICIENT', 'the TPM ran out of bytes while it read a value', ASK],
  0x1b: ['TPM_RC_SIGNATURE', 'the signature is not valid', 'Check the key and the bytes that were signed.'],
  0x1c: ['TPM_RC_KEY', 'the fields of the key are not compatible with the use', 'Check type and scheme of the key.'],
  0x1d: [
    'TPM_RC_POLICY_FAIL',
    'a policy check failed',
    'Satisfy the policy of the object in this session: its PCRs or secrets differ.',
  ],
  0x1f: [
    'TPM_RC_INTEGRITY',
    'the integrity check failed',
    'The blob was made by another TPM, under another parent, or for another key.',
  ],
  0x20: ['TPM_RC_TICKET', 'the ticket is not valid', 'Tickets end with a reset of the TPM: make it again.'],
  0x21: ['TPM_RC_RESERVED_BITS', 'bits that must be zero are set', ASK],
  0x22: [
    'TPM_RC_BAD_AUTH',
    'the authorisation is wrong; the object is not protected against guessing',
    'Check the authorisation value.',
  ],
  0x23: ['TPM_RC_EXPIRED', 'the policy has expired', 'Begin a new session.'],
  0x24: ['TPM_RC_POLICY_CC', 'the policy is not for this command', 'Use the policy branch that names this command.'],
  0x25: [
    'TPM_RC_BINDING',
    'public and sensitive part of the object do not belong together',
    'Load both parts of one key.',
  ],
  0x26: ['TPM_RC_CURVE', 'the curve is not supported', 'Choose a curve that this TPM has.'],
  0x27: ['TPM_RC_ECC_POINT', 'the point is not on the curve'],
  0x28: [
    'TPM_RC_FW_LIMITED',
    'the object is bound to another firmware of the TPM',
    'Make it again under this firmware.',
  ],
  0x29: [
    'TPM_RC_SVN_LIMITED',
    'the object is bound to another security version of the TPM',
    'Make it again under this firmware.',
  ],
  0x30: ['TPM_RC_CHANNEL', 'the secure channel is not the one that the command needs'],
  0x31: ['TPM_RC_CHANNEL_KEY', 'the secure channel was set up with another key'],
}

/** Format zero errors: 0x100 and the code. */
export const FORMAT_ZERO: Readonly<Record<number, Row>> = {
  0x00: [
    'TPM_RC_INITIALIZE',
    'the TPM was not started, or was started already',
    'Send TPM2_Startup once after power-on; the firmware does it on real machines.',
  ],
  0x01: [
    'TPM_RC_FAILURE',
    'the TPM is in failure mode and refuses all work',
    'Power the machine off and on; if it comes back, replace the TPM.',
  ],
  0x03: ['TPM_RC_SEQUENCE', 'a sequence was used wrongly', ASK],
  0x0b: ['TPM_RC_PRIVATE', 'not currently used'],
  0x19: ['TPM_RC_HMAC', 'not currently used'],
  0x20: [
    'TPM_RC_DISABLED',
    'the command is disabled',
    'Enable it with the authorisation of the hierarchy, or in the firmware setup.',
  ],
  0x21: ['TPM_RC_EXCLUSIVE', 'an audit session required to be exclusive and was not', 'Begin a new audit session.'],
  0x24: [
    'TPM_RC_AUTH_TYPE',
    'the handle cannot be authorised in this way',
    'Use a policy session where the object has no userWithAuth.',
  ],
  0x25: ['TPM_RC_AUTH_MISSING', 'the command needs an authorisation session', ASK],
  0x26: [
    'TPM_RC_POLICY',
    'a policy failed in arithmetic or comparison',
    'The compared NV value or counter is not as the policy wants it.',
  ],
  0x27: [
    'TPM_RC_PCR',
    'a PCR value is not as the policy wants it',
    'The machine booted something else than the policy was made for.',
  ],
  0x28: ['TPM_RC_PCR_CHANGED', 'PCRs changed since the policy checked them', 'Run the policy again.'],
  0x2d: ['TPM_RC_UPGRADE', 'the TPM is in field upgrade mode', 'Finish the firmware update.'],
  0x2e: ['TPM_RC_TOO_MANY_CONTEXTS', 'the counter of context ids is exhausted', 'Restart the machine.'],
  0x2f: ['TPM_RC_AUTH_UNAVAILABLE', 'the object has neither an authorisation value nor a policy for this use'],
  0x30: ['TPM_RC_REBOOT', 'the TPM must be reset before it goes on', 'Restart the machine.'],
  0x31: ['TPM_RC_UNBALANCED', 'hash and symmetric algorithm are of different strength'],
  0x42: ['TPM_RC_COMMAND_SIZE', 'the size in the command is not that of the command', ASK],
  0x43: [
    'TPM_RC_COMMAND_CODE',
    'the TPM has no such command',
    'This TPM is older than the command, or its vendor left it out.',
  ],
  0x44: ['TPM_RC_AUTHSIZE', 'the size of the authorisation area is out of range', ASK],
  0x45: ['TPM_RC_AUTH_CONTEXT', 'the command does not take a session', ASK],
  0x46: [
    'TPM_RC_NV_RANGE',
    'the offset and size go beyond the NV index',
    'Read the size with tpm2_nvreadpublic first.',
  ],
  0x47: ['TPM_RC_NV_SIZE', 'the size is not that of the NV index'],
  0x48: [
    'TPM_RC_NV_LOCKED',
    'the NV index is locked',
    'Locks end with the next boot, or never, as the index was defined.',
  ],
  0x49: [
    'TPM_RC_NV_AUTHORIZATION',
    'the NV index does not allow this authorisation',
    'Authorise as the attributes of the index say.',
  ],
  0x4a: ['TPM_RC_NV_UNINITIALIZED', 'the NV index was defined and never written', 'Write it first.'],
  0x4b: [
    'TPM_RC_NV_SPACE',
    'there is no room in NV memory',
    'Undefine an index or evict a persistent key that nobody uses.',
  ],
  0x4c: [
    'TPM_RC_NV_DEFINED',
    'the NV index or persistent handle exists already',
    'Use what is there, or remove it first.',
  ],
  0x50: [
    'TPM_RC_BAD_CONTEXT',
    'the saved context is not valid',
    'Contexts end with a reset of the TPM: load the key again.',
  ],
  0x51: ['TPM_RC_CPHASH', 'the parameters are not those that the policy was made for'],
  0x52: ['TPM_RC_PARENT', 'the parent is not a valid parent'],
  0x53: ['TPM_RC_NEEDS_TEST', 'some function must be tested first', 'Run tpm2_selftest.'],
  0x54: ['TPM_RC_NO_RESULT', 'the TPM cannot give a result for this input'],
  0x55: [
    'TPM_RC_SENSITIVE',
    'the sensitive part of the object cannot be unmarshalled',
    'The blob is damaged or of another type.',
  ],
  0x56: ['TPM_RC_READ_ONLY', 'the TPM is in read-only mode', 'Leave read-only mode first.'],
}

const REFERENCE = 'an object or session that the command names is not loaded'

/** Warnings: 0x900 and the code. The command was not wrong in itself. */
export const WARNINGS: Readonly<Record<number, Row>> = {
  0x01: [
    'TPM_RC_CONTEXT_GAP',
    'the gap between saved session contexts is too large',
    'Load and save the oldest session context.',
    'now',
  ],
  0x02: ['TPM_RC_OBJECT_MEMORY', 'there is no memory for another object', FLUSH, 'now'],
  0x03: ['TPM_RC_SESSION_MEMORY', 'there is no memory for another session', FLUSH, 'now'],
  0x04: ['TPM_RC_MEMORY', 'there is no memory', FLUSH, 'now'],
  0x05: ['TPM_RC_SESSION_HANDLES', 'there are no session handles left', FLUSH, 'now'],
  0x06: ['TPM_RC_OBJECT_HANDLES', 'there are no object handles left', FLUSH, 'now'],
  0x07: ['TPM_RC_LOCALITY', 'the command came from the wrong locality', 'Only firmware reaches higher localities.'],
  0x08: ['TPM_RC_YIELDED', 'the TPM stopped the command to do something else', LATER, 'later'],
  0x09: ['TPM_RC_CANCELED', 'the command was cancelled', 'Send it again if it is still wanted.'],
  0x0a: ['TPM_RC_TESTING', 'the TPM is testing itself', LATER, 'later'],
  0x10: ['TPM_RC_REFERENCE_H0', REFERENCE, 'Load it again: handle 1 of the command.'],
  0x11: ['TPM_RC_REFERENCE_H1', REFERENCE, 'Load it again: handle 2 of the command.'],
  0x12: ['TPM_RC_REFERENCE_H2', REFERENCE, 'Load it again: handle 3 of the command.'],
  0x13: ['TPM_RC_REFERENCE_H3', REFERENCE, 'Load it again: handle 4 of the command.'],
  0x14: ['TPM_RC_REFERENCE_H4', REFERENCE, 'Load it again: handle 5 of the command.'],
  0x15: ['TPM_RC_REFERENCE_H5', REFERENCE, 'Load it again: handle 6 of the command.'],
  0x16: ['TPM_RC_REFERENCE_H6', REFERENCE, 'Load it again: handle 7 of the command.'],
  0x18: ['TPM_RC_REFERENCE_S0', REFERENCE, 'Begin a new session: session 1 of the command.'],
  0x19: ['TPM_RC_REFERENCE_S1', REFERENCE, 'Begin a new session: session 2 of the command.'],
  0x1a: ['TPM_RC_REFERENCE_S2', REFERENCE, 'Begin a new session: session 3 of the command.'],
  0x1b: ['TPM_RC_REFERENCE_S3', REFERENCE, 'Begin a new session: session 4 of the command.'],
  0x1c: ['TPM_RC_REFERENCE_S4', REFERENCE, 'Begin a new session: session 5 of the command.'],
  0x1d: ['TPM_RC_REFERENCE_S5', REFERENCE, 'Begin a new session: session 6 of the command.'],
  0x1e: ['TPM_RC_REFERENCE_S6', REFERENCE, 'Begin a new session: session 7 of the command.'],
  0x20: ['TPM_RC_NV_RATE', 'the TPM limits the rate of NV writes', LATER, 'later'],
  0x21: [
    'TPM_RC_LOCKOUT',
    'the TPM is locked after too many failed authorisations',
    'Wait for its lockout interval, or reset it with the lockout authorisation (tpm2_dictionarylockout). Do not retry: that prolongs it.',
  ],
  0x22: ['TPM_RC_RETRY', 'the TPM was not able to start the command', LATER, 'later'],
  0x23: ['TPM_RC_NV_UNAVAILABLE', 'NV memory cannot be written at the moment', LATER, 'later'],
}

/** Layers of tpm2-tss above the TPM, bits 16 to 23 of a TSS2_RC: TCG TSS 2.0 Overview section 5. */
export const TSS_LAYERS: Readonly<Record<number, string>> = {
  0x06: 'FAPI',
  0x07: 'ESYS',
  0x08: 'SYS',
  0x09: 'MU',
  0x0a: 'TCTI',
  0x0b: 'the resource manager',
  0x0c: "the resource manager's TPM",
  0x0d: 'the policy library',
}

export function rowOf(table: Readonly<Record<number, Row>>, code: number): RcRow | undefined {
  const row = table[code]
  if (row === undefined) return undefined
  const [name, meaning, hint = 'Check the command against the TPM and the key.', retry = 'no'] = row
  return { name, meaning, hint, retry }
}
