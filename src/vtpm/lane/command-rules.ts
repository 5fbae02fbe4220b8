import type { ErrorCode } from '../../core/index.ts'
import { TPM_RH } from '../../tpm/index.ts'
import type { TenantClass } from './types.ts'

/** Milliseconds that the TPM may take: keys can take a hardware TPM a minute, a full self-test several seconds. */
export const TIME_LIMITS = { quick: 10_000, slow: 30_000, keys: 120_000 } as const

export interface Denial {
  readonly denied: ErrorCode
}

/** Looks at the parameters of a command before it is let through; see command-checks.ts. */
export type CheckName =
  'capability' | 'create' | 'createLoaded' | 'import' | 'load' | 'loadExternal' | 'nvDefine' | 'evictOwn' | 'selfTest'

/**
 * Lets a command through when each of its handles is the tenant's own: objects and sessions that it made, its parent key,
 * persistent handles and NV indices in its ranges, TPM_RH_NULL.
 */
export interface Permission {
  readonly denied?: undefined
  /** Hierarchies that it may name beside those. */
  readonly hierarchies: readonly number[]
  readonly check?: CheckName
  /** NV indices of EK certificates count as its own. */
  readonly certificates?: boolean
  /** Persistent handles and NV indices count as its own wherever they are. */
  readonly anywhere?: boolean
}

export type Ruling = Denial | Permission

/** How the lane itself works on a command; all others are passed on with physical handles. */
export type Special = 'contextSave' | 'contextLoad' | 'flushContext' | 'getCapability'

export interface CommandRule {
  /** Without TPM2_CC_. */
  readonly name: string
  readonly code: number
  readonly classes: Readonly<Record<TenantClass, Ruling>>
  readonly time: keyof typeof TIME_LIMITS
  /** Tokens of the tenant's rate: what wears NV memory or keeps the TPM busy costs more than one. */
  readonly cost: number
  /** Writes to NV memory, and so takes of a tenant's budget for that. */
  readonly wearsNv: boolean
  /** Speaks for an identity or changes what lasts: written to the audit log even when it is let through. */
  readonly isAudited: boolean
  /** Makes a sequence object, whose saved context is good once. */
  readonly makesSequence: boolean
  readonly special: Special | undefined
}

const deny = (denied: ErrorCode): Denial => ({ denied })
const allow = (check?: CheckName, ...hierarchies: readonly number[]): Permission => ({
  hierarchies,
  ...(check === undefined ? {} : { check }),
})

const { owner, endorsement, lockout } = TPM_RH

/** Nobody: it belongs to the machine's owner and firmware, and changes or destroys what all others rely on. */
const OWNER = deny('vtpm.command_of_owner')
/** Nobody: a quote must say what booted, not what a tenant added. */
const MEASURE = deny('vtpm.command_measures')
/** No tenant: the state behind it is one for the whole TPM. */
const SHARED = deny('vtpm.command_shares_state')
/** No app: it speaks for the node. */
const IDENTITY = deny('vtpm.command_of_node')
/** No app: a primary key is a function of its template, so tenants with one template would share it. */
const PRIMARY = deny('vtpm.command_makes_primary')

const OWN = allow()
const NV = allow(undefined, owner)
const ANY: Permission = { hierarchies: [owner, endorsement], anywhere: true }

type Options = Partial<Pick<CommandRule, 'cost' | 'wearsNv' | 'isAudited' | 'makesSequence' | 'special'>>

function row(
  code: number,
  name: string,
  app: Ruling,
  agent: Ruling,
  broker: Ruling,
  time: keyof typeof TIME_LIMITS = 'quick',
  { cost = 1, wearsNv = false, isAudited = false, makesSequence = false, special }: Options = {},
): CommandRule {
  return { name, code, classes: { app, agent, broker }, time, cost, wearsNv, isAudited, makesSequence, special }
}

/** Each is an entry of the audit log, of which a tenant has a share. */
const AUDITED = { isAudited: true, cost: 10 } as const
const WEARS = { cost: 10, wearsNv: true } as const
/** What comes and goes in NV memory is written down too. */
const LASTS = { ...AUDITED, cost: 20, wearsNv: true } as const

/**
 * Every command of TPM 2.0 Library Part 2 section 6.5.2 (revision 1.83), and who may send it. What is not here is denied:
 * reserved codes, vendors' commands, and commands of later revisions until somebody has thought about them.
 *
 * Columns: code, name, app, agent, broker, time limit, options.
 */
export const COMMAND_RULES: readonly CommandRule[] = [
  row(0x11f, 'NV_UndefineSpaceSpecial', OWNER, OWNER, OWNER),
  row(0x120, 'EvictControl', OWNER, allow('evictOwn', owner), ANY, 'slow', LASTS),
  row(0x121, 'HierarchyControl', OWNER, OWNER, OWNER),
  row(0x122, 'NV_UndefineSpace', NV, NV, ANY, 'slow', LASTS),
  row(0x124, 'ChangeEPS', OWNER, OWNER, OWNER),
  row(0x125, 'ChangePPS', OWNER, OWNER, OWNER),
  row(0x126, 'Clear', OWNER, OWNER, OWNER),
  row(0x127, 'ClearControl', OWNER, OWNER, OWNER),
  row(0x128, 'ClockSet', OWNER, OWNER, OWNER),
  row(0x129, 'HierarchyChangeAuth', OWNER, OWNER, OWNER),
  row(0x12a, 'NV_DefineSpace', allow('nvDefine', owner), allow('nvDefine', owner), ANY, 'slow', LASTS),
  row(0x12b, 'PCR_Allocate', OWNER, OWNER, OWNER),
  row(0x12c, 'PCR_SetAuthPolicy', OWNER, OWNER, OWNER),
  row(0x12d, 'PP_Commands', OWNER, OWNER, OWNER),
  row(0x12e, 'SetPrimaryPolicy', OWNER, OWNER, OWNER),
  row(0x12f, 'FieldUpgradeStart', OWNER, OWNER, OWNER),
  row(0x130, 'ClockRateAdjust', OWNER, OWNER, OWNER),
  row(0x131, 'CreatePrimary', PRIMARY, allow(undefined, owner, endorsement), ANY, 'keys', { ...AUDITED, cost: 20 }),
  row(0x132, 'NV_GlobalWriteLock', SHARED, SHARED, SHARED),
  row(0x133, 'GetCommandAuditDigest', IDENTITY, IDENTITY, ANY, 'slow', AUDITED),
  row(0x134, 'NV_Increment', NV, NV, ANY, 'slow', WEARS),
  row(0x135, 'NV_SetBits', NV, NV, ANY, 'slow', WEARS),
  row(0x136, 'NV_Extend', NV, NV, ANY, 'slow', WEARS),
  row(0x137, 'NV_Write', NV, NV, ANY, 'slow', WEARS),
  row(0x138, 'NV_WriteLock', NV, NV, ANY, 'slow', WEARS),
  row(0x139, 'DictionaryAttackLockReset', OWNER, OWNER, allow(undefined, lockout), 'slow', AUDITED),
  row(0x13a, 'DictionaryAttackParameters', OWNER, OWNER, OWNER),
  row(0x13b, 'NV_ChangeAuth', OWN, OWN, ANY, 'slow', WEARS),
  row(0x13c, 'PCR_Event', MEASURE, MEASURE, MEASURE),
  row(0x13d, 'PCR_Reset', MEASURE, MEASURE, MEASURE),
  row(0x13e, 'SequenceComplete', OWN, OWN, ANY),
  row(0x13f, 'SetAlgorithmSet', OWNER, OWNER, OWNER),
  row(0x140, 'SetCommandCodeAuditStatus', OWNER, OWNER, OWNER),
  row(0x141, 'FieldUpgradeData', OWNER, OWNER, OWNER),
  row(0x142, 'IncrementalSelfTest', OWN, OWN, ANY, 'slow', { cost: 50 }),
  row(0x143, 'SelfTest', allow('selfTest'), allow('selfTest'), ANY, 'slow', { cost: 50 }),
  row(0x144, 'Startup', OWNER, OWNER, OWNER),
  row(0x145, 'Shutdown', OWNER, OWNER, OWNER),
  row(0x146, 'StirRandom', OWN, OWN, ANY),
  row(0x147, 'ActivateCredential', OWN, OWN, ANY, 'slow', AUDITED),
  row(0x148, 'Certify', OWN, OWN, ANY, 'slow', AUDITED),
  row(0x149, 'PolicyNV', NV, NV, ANY),
  row(0x14a, 'CertifyCreation', OWN, OWN, ANY, 'slow', AUDITED),
  row(0x14b, 'Duplicate', OWN, OWN, ANY, 'slow'),
  row(0x14c, 'GetTime', IDENTITY, allow(undefined, endorsement), ANY, 'slow', AUDITED),
  row(0x14d, 'GetSessionAuditDigest', IDENTITY, IDENTITY, ANY, 'slow', AUDITED),
  row(0x14e, 'NV_Read', NV, { hierarchies: [owner], certificates: true }, ANY),
  row(0x14f, 'NV_ReadLock', NV, NV, ANY, 'slow', WEARS),
  row(0x150, 'ObjectChangeAuth', OWN, OWN, ANY, 'slow'),
  row(0x151, 'PolicySecret', OWN, allow(undefined, endorsement), ANY),
  row(0x152, 'Rewrap', OWN, OWN, ANY, 'slow'),
  row(0x153, 'Create', allow('create'), allow('create'), ANY, 'keys', { cost: 20 }),
  row(0x154, 'ECDH_ZGen', OWN, OWN, ANY, 'slow'),
  row(0x155, 'HMAC', OWN, OWN, ANY),
  row(0x156, 'Import', allow('import'), allow('import'), ANY, 'slow'),
  row(0x157, 'Load', allow('load'), allow('load'), ANY, 'slow'),
  row(0x158, 'Quote', OWN, OWN, ANY, 'slow', AUDITED),
  row(0x159, 'RSA_Decrypt', OWN, OWN, ANY, 'slow'),
  row(0x15b, 'HMAC_Start', OWN, OWN, ANY, 'quick', { makesSequence: true }),
  row(0x15c, 'SequenceUpdate', OWN, OWN, ANY),
  row(0x15d, 'Sign', OWN, OWN, ANY, 'slow'),
  row(0x15e, 'Unseal', OWN, OWN, ANY),
  row(0x160, 'PolicySigned', OWN, OWN, ANY),
  row(0x161, 'ContextLoad', OWN, OWN, ANY, 'quick', { special: 'contextLoad' }),
  row(0x162, 'ContextSave', OWN, OWN, ANY, 'quick', { special: 'contextSave' }),
  row(0x163, 'ECDH_KeyGen', OWN, OWN, ANY, 'slow'),
  row(0x164, 'EncryptDecrypt', OWN, OWN, ANY),
  row(0x165, 'FlushContext', OWN, OWN, ANY, 'quick', { special: 'flushContext' }),
  row(0x167, 'LoadExternal', allow('loadExternal'), allow('loadExternal'), ANY, 'slow'),
  row(0x168, 'MakeCredential', OWN, OWN, ANY, 'slow'),
  row(0x169, 'NV_ReadPublic', OWN, { hierarchies: [], certificates: true }, ANY),
  row(0x16a, 'PolicyAuthorize', OWN, OWN, ANY),
  row(0x16b, 'PolicyAuthValue', OWN, OWN, ANY),
  row(0x16c, 'PolicyCommandCode', OWN, OWN, ANY),
  row(0x16d, 'PolicyCounterTimer', OWN, OWN, ANY),
  row(0x16e, 'PolicyCpHash', OWN, OWN, ANY),
  row(0x16f, 'PolicyLocality', OWN, OWN, ANY),
  row(0x170, 'PolicyNameHash', OWN, OWN, ANY),
  row(0x171, 'PolicyOR', OWN, OWN, ANY),
  row(0x172, 'PolicyTicket', OWN, OWN, ANY),
  row(0x173, 'ReadPublic', OWN, OWN, ANY),
  row(0x174, 'RSA_Encrypt', OWN, OWN, ANY),
  row(0x176, 'StartAuthSession', OWN, OWN, ANY, 'slow', { cost: 2 }),
  row(0x177, 'VerifySignature', OWN, OWN, ANY),
  row(0x178, 'ECC_Parameters', OWN, OWN, ANY),
  row(0x179, 'FirmwareRead', OWNER, OWNER, OWNER),
  row(0x17a, 'GetCapability', allow('capability'), allow('capability'), ANY, 'quick', { special: 'getCapability' }),
  row(0x17b, 'GetRandom', OWN, OWN, ANY),
  row(0x17c, 'GetTestResult', OWN, OWN, ANY),
  row(0x17d, 'Hash', OWN, OWN, ANY),
  row(0x17e, 'PCR_Read', OWN, OWN, ANY),
  row(0x17f, 'PolicyPCR', OWN, OWN, ANY),
  row(0x180, 'PolicyRestart', OWN, OWN, ANY),
  row(0x181, 'ReadClock', OWN, OWN, ANY),
  row(0x182, 'PCR_Extend', MEASURE, MEASURE, MEASURE),
  row(0x183, 'PCR_SetAuthValue', OWNER, OWNER, OWNER),
  row(0x184, 'NV_Certify', NV, NV, ANY, 'slow', AUDITED),
  row(0x185, 'EventSequenceComplete', MEASURE, MEASURE, MEASURE),
  row(0x186, 'HashSequenceStart', OWN, OWN, ANY, 'quick', { makesSequence: true }),
  row(0x187, 'PolicyPhysicalPresence', OWN, OWN, ANY),
  row(0x188, 'PolicyDuplicationSelect', OWN, OWN, ANY),
  row(0x189, 'PolicyGetDigest', OWN, OWN, ANY),
  row(0x18a, 'TestParms', OWN, OWN, ANY),
  // ECDAA: one tenant's commit would use up those that others have begun.
  row(0x18b, 'Commit', SHARED, SHARED, SHARED),
  row(0x18c, 'PolicyPassword', OWN, OWN, ANY),
  row(0x18d, 'ZGen_2Phase', SHARED, SHARED, SHARED),
  row(0x18e, 'EC_Ephemeral', SHARED, SHARED, SHARED),
  row(0x18f, 'PolicyNvWritten', OWN, OWN, ANY),
  row(0x190, 'PolicyTemplate', OWN, OWN, ANY),
  row(0x191, 'CreateLoaded', allow('createLoaded'), allow('createLoaded'), ANY, 'keys', { cost: 20 }),
  row(0x192, 'PolicyAuthorizeNV', NV, NV, ANY),
  row(0x193, 'EncryptDecrypt2', OWN, OWN, ANY),
  row(0x194, 'AC_GetCapability', OWNER, OWNER, OWNER),
  row(0x195, 'AC_Send', OWNER, OWNER, OWNER),
  row(0x196, 'Policy_AC_SendSelect', OWNER, OWNER, OWNER),
  row(0x197, 'CertifyX509', OWN, OWN, ANY, 'slow', AUDITED),
  row(0x198, 'ACT_SetTimeout', OWNER, OWNER, OWNER),
  row(0x199, 'ECC_Encrypt', OWN, OWN, ANY, 'slow'),
  row(0x19a, 'ECC_Decrypt', OWN, OWN, ANY, 'slow'),
  row(0x19b, 'PolicyCapability', OWN, OWN, ANY),
  row(0x19c, 'PolicyParameters', OWN, OWN, ANY),
  // External NV has attributes that the check does not know.
  row(0x19d, 'NV_DefineSpace2', SHARED, SHARED, SHARED),
  row(0x19e, 'NV_ReadPublic2', OWN, OWN, ANY),
  row(0x19f, 'SetCapability', OWNER, OWNER, OWNER),
  row(0x1a0, 'ReadOnlyControl', OWNER, OWNER, OWNER),
  row(0x1a1, 'PolicyTransportSPDM', OWN, OWN, ANY),
]

const FIRST_CODE = 0x11f

const byCode: (CommandRule | undefined)[] = []
for (const rule of COMMAND_RULES) byCode[rule.code - FIRST_CODE] = rule

/** The row of a command; `undefined` for what Part 2 does not name. */
export function ruleOf(code: number): CommandRule | undefined {
  return byCode[code - FIRST_CODE]
}
