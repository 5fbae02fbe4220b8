import type { BootClaims } from './boot-claims.ts'

/** The type of a value; a field whose name ends with `?` may be absent. */
export type ClaimType =
  | 'boolean'
  | 'number'
  | 'string'
  | { readonly list: ClaimType }
  | { readonly fields: Readonly<Record<string, ClaimType>> }
  /** Texts by names that the log chose. */
  | { readonly map: 'string' }

/** Everything the program knows of one claim. */
export interface ClaimRow {
  readonly type: ClaimType
  /** A list claim, which may be known and incomplete. */
  readonly list?: true
  /** PCRs that its value depends on, or is read from where nothing is bound. */
  readonly pcrs: readonly number[]
  /** In words: what says so. */
  readonly meaning: string
  /** In words: what makes it bound; `never` for what is merely said. */
  readonly bound: string
  /** In words: when it is unknown, or incomplete. */
  readonly unknown: string
}

/** `group.claim` of every claim that there is. */
export type ClaimName = {
  readonly [Group in keyof BootClaims]: BootClaims[Group] extends string
    ? never
    : `${Group}.${keyof BootClaims[Group] & string}`
}[keyof BootClaims]

const text = 'string'
const texts: ClaimType = { list: text }
const DIGEST = { digest: text, event: 'number', 'untrustedType?': text, 'untrustedDescription?': text } as const
const digest: ClaimType = { fields: DIGEST }
const certificate: ClaimType = { fields: { fingerprint: text, owner: text, 'subject?': text, 'issuer?': text } }
const database: ClaimType = {
  fields: {
    digest: text,
    size: 'number',
    certificates: { list: certificate },
    hashes: texts,
    hashCount: 'number',
    event: 'number',
  },
}
const authority: ClaimType = {
  fields: { name: text, vendor: text, digest: text, 'certificate?': certificate, event: 'number' },
}
const image: ClaimType = {
  fields: {
    digest: text,
    'attempt?': 'number',
    event: 'number',
    'untrustedPath?': text,
    'untrustedAuthority?': text,
    'untrustedAttempt?': 'number',
  },
}
const stage: ClaimType = { fields: { name: text, basis: text, event: 'number' } }

const FIRMWARE = [0, 1, 2, 3, 4, 5, 6, 7]

const NEVER = 'never'
const PLACE = 'digest and place in the register'
const WHOLE = 'digest = H(payload), before the separator'
const ACTION = 'a digest that only this text has'
const TEXT = 'digest = H(text), by the rule of its writer'
const UNEXTENDED = 'the log has no measurement of the register'
const UNREAD = 'incomplete where an event of the register is of nothing that is in the log'
const RTMR = 'never in an RTMR log, where one register holds several PCRs'
const ACTION_UNKNOWN = 'not said: not all firmware says it'
const WBCL_PCRS = [12, 13]
const WBCL_BOUND = 'digest = H(payload), before Windows’ separator, and every stage says the same'
const WBCL_UNKNOWN = 'not Windows; Windows did not say it; stages differ; an event of 12 or 13 is of nothing in the log'

function keyDatabase(name: string, meaning: string): ClaimRow {
  return {
    type: database,
    pcrs: [7],
    meaning,
    bound: WHOLE,
    unknown: `${name} was not measured before the separator, is no chain of signature lists, or an event of PCR 7 is no variable`,
  }
}

function windows(type: ClaimType, meaning: string): ClaimRow {
  return { type, pcrs: WBCL_PCRS, meaning, bound: WBCL_BOUND, unknown: WBCL_UNKNOWN }
}

/** Every claim; the type makes one that has no row an error. */
export const CLAIMS: Readonly<Record<ClaimName, ClaimRow>> = {
  'firmware.version': {
    type: text,
    pcrs: [0],
    meaning: 'EV_S_CRTM_VERSION: text where it is text, hex otherwise; often a GUID or zeros that identify nothing',
    bound: WHOLE,
    unknown: 'no such event, or only behind the separator',
  },
  'firmware.startupLocality': {
    type: 'number',
    pcrs: [0],
    meaning: 'locality of TPM2_Startup: 0, 3, or 4 after an H-CRTM sequence',
    bound: 'it is the first value of PCR 0, so replay shows it',
    unknown: `${UNEXTENDED}, or it is an RTMR log`,
  },
  'firmware.hcrtm': {
    type: 'boolean',
    pcrs: [0],
    meaning: 'whether the processor measured the first firmware before TPM2_Startup',
    bound: 'PCR 0 begins with 4 only then',
    unknown: `${UNEXTENDED}, or it is an RTMR log`,
  },
  'firmware.code': {
    type: digest,
    list: true,
    pcrs: [0, 2],
    meaning:
      'digests of the firmware: version, S-CRTM contents, volumes, POST code (PCR 0; of coreboot its stages, PCR 2)',
    bound: PLACE,
    unknown: `${UNEXTENDED}, or it is an RTMR log (MRTD holds the firmware)`,
  },
  'firmware.drivers': {
    type: digest,
    list: true,
    pcrs: [2],
    meaning: 'digests of option ROMs, drivers and firmware of devices',
    bound: PLACE,
    unknown: `${UNEXTENDED}; coreboot; ${RTMR}`,
  },
  'firmware.failedRegisters': {
    type: 'number',
    list: true,
    pcrs: FIRMWARE,
    meaning: 'registers that the firmware closed with the separator of an error (1)',
    bound: 'a digest that only this separator has',
    unknown: UNEXTENDED,
  },
  'firmware.untrustedPlatform': {
    type: { map: text },
    pcrs: [],
    meaning: 'what an SP800-155 event names: vendor, manifest, platform and firmware',
    bound: NEVER,
    unknown: 'the log has no such event',
  },
  'firmware.untrustedMicrocode': {
    type: text,
    list: true,
    pcrs: [0, 1],
    meaning: 'texts of EV_CPU_MICROCODE',
    bound: NEVER,
    unknown: 'the log has no such text',
  },

  'secureBoot.enabled': {
    type: 'boolean',
    pcrs: [7],
    meaning:
      '`true`: SecureBoot is 1, PK, KEK and db are there, every authority named db is in db, shim verifies. `false`: SecureBoot is 0',
    bound: WHOLE,
    unknown:
      'SecureBoot absent or neither 0 nor 1; a database missing or empty; an authority that is not in db; an event that is no variable',
  },
  'secureBoot.setupMode': {
    type: 'boolean',
    pcrs: [7],
    meaning: 'there is no platform key, so anybody may write the databases (SetupMode, else an empty PK)',
    bound: WHOLE,
    unknown: 'neither was measured, or an event of PCR 7 is no variable',
  },
  'secureBoot.auditMode': {
    type: 'boolean',
    pcrs: [7],
    meaning: 'variable AuditMode',
    bound: WHOLE,
    unknown: 'not measured (most firmware does not), or an event of PCR 7 is no variable',
  },
  'secureBoot.deployedMode': {
    type: 'boolean',
    pcrs: [7],
    meaning: 'variable DeployedMode',
    bound: WHOLE,
    unknown: 'not measured (most firmware does not), or an event of PCR 7 is no variable',
  },
  'secureBoot.pk': keyDatabase('PK', 'platform key'),
  'secureBoot.kek': keyDatabase('KEK', 'key exchange keys'),
  'secureBoot.db': keyDatabase('db', 'what images may be signed with, or be'),
  'secureBoot.dbx': keyDatabase('dbx', 'what is revoked'),
  'secureBoot.dbt': keyDatabase('dbt', 'authorities for timestamps'),
  'secureBoot.dbr': keyDatabase('dbr', 'authorities for recovery'),
  'secureBoot.dbxNewestRevocation': {
    type: text,
    pcrs: [7],
    meaning: 'newest time in dbx from which a certificate is revoked, ISO 8601',
    bound: WHOLE,
    unknown: 'dbx is unknown, or no entry has a time: hashes of images have none',
  },
  'secureBoot.authorities': {
    type: authority,
    list: true,
    pcrs: [7],
    meaning: 'what the firmware verified images with',
    bound: 'digest = H(payload)',
    unknown: `${UNEXTENDED}; ${UNREAD}`,
  },
  'secureBoot.authoritiesInDb': {
    type: 'boolean',
    pcrs: [7],
    meaning: 'every authority named db is an entry of the measured db',
    bound: 'digest = H(payload)',
    unknown: 'the firmware measured none, or an event of PCR 7 is no variable',
  },

  'shim.sbatLevel': {
    type: text,
    pcrs: [7],
    meaning: 'SbatLevel: generations of programs that shim still starts',
    bound: 'digest = H(payload)',
    unknown: 'shim measured none, or an event of PCR 7 is no variable',
  },
  'shim.mokListTrusted': {
    type: 'boolean',
    pcrs: [7],
    meaning: 'whether keys of the machine’s owner count for the kernel',
    bound: 'digest = H(payload)',
    unknown: 'shim measured none, or an event of PCR 7 is no variable',
  },
  'shim.validation': {
    type: 'boolean',
    pcrs: [7],
    meaning: 'shim verifies what it starts (MokSBState is 0)',
    bound: 'digest = H(payload)',
    unknown: 'shim measures the variable only where somebody set it',
  },
  'shim.authorities': {
    type: authority,
    list: true,
    pcrs: [7],
    meaning: 'what shim verified images with: its own key, the vendor’s, the owner’s; never counted as db',
    bound: 'digest = H(payload)',
    unknown: `${UNEXTENDED}; ${UNREAD}`,
  },
  'shim.untrustedOwnerLists': {
    type: digest,
    list: true,
    pcrs: [14],
    meaning: 'digests that the log calls lists of the machine’s owner: MokList, MokListX, …',
    bound: NEVER,
    unknown: 'the log names none',
  },

  'platform.dmaProtection': {
    type: 'boolean',
    pcrs: [1, 2, 4, 5, 6, 7],
    meaning: '`false`: the firmware said “DMA Protection Disabled”',
    bound: ACTION,
    unknown: `${ACTION_UNKNOWN}, so it is never known to be \`true\` (see windows.bootDmaProtection)`,
  },
  'platform.debugger': {
    type: 'boolean',
    pcrs: [1, 2, 4, 5, 6, 7],
    meaning: '`true`: the firmware said “UEFI Debug Mode”',
    bound: ACTION,
    unknown: ACTION_UNKNOWN,
  },
  'platform.setupEntered': {
    type: 'boolean',
    pcrs: [1, 2, 4, 5, 6, 7],
    meaning: '`true`: the firmware said “Entering ROM Based Setup”',
    bound: ACTION,
    unknown: ACTION_UNKNOWN,
  },
  'platform.actions': {
    type: text,
    list: true,
    pcrs: FIRMWARE,
    meaning: 'texts of the actions that the profile specifies, as often as they were said',
    bound: ACTION,
    unknown: UNEXTENDED,
  },

  'boot.attempts': {
    type: 'number',
    pcrs: [4, 5],
    meaning: 'how often the firmware announced that it calls a boot option',
    bound: ACTION,
    unknown: 'it announced none; not all firmware does',
  },
  'boot.order': {
    type: { list: 'number' },
    pcrs: [1, 5],
    meaning: 'BootOrder: numbers of boot options',
    bound: 'digest = H(value), where only the firmware can have put it',
    unknown: 'not measured, or something unread stands where it should',
  },
  'boot.options': {
    type: { fields: { description: text, path: text, event: 'number' } },
    list: true,
    pcrs: [1, 5],
    meaning: 'boot options by their content; their numbers are not always measured',
    bound: 'digest = H(value)',
    unknown: `${UNEXTENDED}; ${UNREAD}, which is the rule in PCR 1`,
  },
  'boot.images': {
    type: image,
    list: true,
    pcrs: [4],
    meaning:
      'Authenticode digests of what was started, in order; `attempt`: boot attempts that PCR 4 announces before it',
    bound: PLACE,
    unknown: UNEXTENDED,
  },
  'boot.bootedImages': {
    type: image,
    list: true,
    pcrs: [4, 5],
    meaning: 'those of the last attempt, which came to ExitBootServices',
    bound: PLACE,
    unknown: 'no ExitBootServices in the log, or attempts were announced in another register',
  },
  'boot.exitBootServices': {
    type: 'boolean',
    pcrs: [5],
    meaning: '`true`: an operating system took over',
    bound: ACTION,
    unknown: 'not said: some firmware leaves it out',
  },
  'boot.partitionTables': {
    type: {
      fields: {
        disk: text,
        partitions: {
          list: {
            fields: {
              type: text,
              guid: text,
              name: text,
              attributes: text,
              firstBlock: text,
              lastBlock: text,
            },
          },
        },
        event: 'number',
      },
    },
    list: true,
    pcrs: [5],
    meaning: 'GPT of the boot disk, once an attempt',
    bound: 'digest = H(payload)',
    unknown: `${UNEXTENDED}; ${UNREAD}`,
  },

  'loader.name': {
    type: text,
    pcrs: [8, 11, 12, 13],
    meaning: '`grub`, `eve-grub`, `systemd-boot`, `systemd-stub` or `windows-bootmgr`: what it measures gives it away',
    bound: 'the events that give it away are',
    unknown: 'nothing was measured in a way that is known; an event of PCR 8, 11, 12 or 13 is of nothing in the log',
  },
  'loader.untrustedName': {
    type: text,
    pcrs: [4, 9],
    meaning: 'the same, or `shim` or `linux-efi-stub`, by names of files and labels',
    bound: NEVER,
    unknown: 'no name that is known',
  },
  'loader.stages': {
    type: stage,
    list: true,
    pcrs: [7, 8, 11, 12, 13],
    meaning: 'all programs of the boot path that measured something of their own, and how that was concluded',
    bound: 'the events that give them away are',
    unknown: 'never complete: a program that measures nothing is not seen',
  },
  'loader.commands': {
    type: text,
    list: true,
    pcrs: [8],
    meaning: 'commands that GRUB ran',
    bound: TEXT,
    unknown: `${UNEXTENDED}; ${UNREAD}`,
  },
  'loader.files': {
    type: digest,
    list: true,
    pcrs: [9],
    meaning: 'digests of files that the loader read: configuration, modules, kernel, initrd',
    bound: PLACE,
    unknown: `${UNEXTENDED}; incomplete in an RTMR log`,
  },

  'kernel.commandLines': {
    type: text,
    list: true,
    pcrs: [8, 12],
    meaning: 'every text that may have been a command line of a kernel, or of a module that is one',
    bound: TEXT,
    unknown: `${UNEXTENDED}; ${UNREAD}`,
  },
  'kernel.commandLine': {
    type: text,
    pcrs: [8, 12],
    meaning: 'the one command line, where all are equal',
    bound: TEXT,
    unknown: 'none; several that differ; an event of PCR 8 or 12 is of nothing in the log',
  },
  'kernel.path': {
    type: text,
    pcrs: [8, 12],
    meaning: 'the file that GRUB was told to load as a kernel',
    bound: TEXT,
    unknown: 'the command line is unknown, or does not begin with a path',
  },
  'kernel.initrdPaths': {
    type: text,
    list: true,
    pcrs: [8, 12],
    meaning: 'initial file systems by GRUB’s command or the parameter initrd=',
    bound: TEXT,
    unknown: `none; ${UNREAD}`,
  },
  'kernel.untrustedKernel': {
    type: digest,
    pcrs: [9, 11],
    meaning: 'the digest that the log says is the kernel’s; that it was measured is in loader.files',
    bound: NEVER,
    unknown: 'the log names none',
  },
  'kernel.untrustedInitrds': {
    type: digest,
    list: true,
    pcrs: [9],
    meaning: 'the digests that the log says are the initrds’',
    bound: NEVER,
    unknown: 'the log names none',
  },
  'kernel.ukiSections': {
    type: { fields: { name: text, digest: text, event: 'number' } },
    list: true,
    pcrs: [11],
    meaning: 'sections of a unified kernel image that sd-stub measured',
    bound: 'digest = H(name) of the event before, then place',
    unknown: `none; ${UNREAD}`,
  },

  'rootfs.root': {
    type: text,
    pcrs: [8, 12],
    meaning: '`root=` of the command line',
    bound: TEXT,
    unknown: 'kernel.commandLine is unknown, has none, or has several that differ',
  },
  'rootfs.verityRootHash': {
    type: text,
    pcrs: [8, 12],
    meaning: 'root hash of dm-verity: `roothash=`, or the table in `dm=` or `dm-mod.create=`, hex',
    bound: TEXT,
    unknown: 'kernel.commandLine is unknown, has none, or several',
  },
  'rootfs.verityUsrHash': {
    type: text,
    pcrs: [8, 12],
    meaning: '`usrhash=`, hex',
    bound: TEXT,
    unknown: 'kernel.commandLine is unknown, has none, or several',
  },
  'rootfs.imageHash': {
    type: text,
    pcrs: [13],
    meaning: 'SHA-256 of the root file system’s image, measured by EVE’s GRUB',
    bound: 'digest = H(hash)',
    unknown: 'not measured; several that differ; an event of PCR 13 is of nothing in the log',
  },

  'eve.config': {
    type: { fields: { path: text, exists: 'boolean', 'contentHash?': text, event: 'number' } },
    list: true,
    pcrs: [14],
    meaning: 'files of /config, with the SHA-256 of their content where it was measured',
    bound: 'digest = H(payload)',
    unknown: `not EVE; ${UNREAD}`,
  },

  'userspace.phases': {
    type: text,
    list: true,
    pcrs: [11],
    meaning: 'phases of the boot by systemd-pcrphase: enter-initrd, leave-initrd, sysinit, ready, …',
    bound: 'digest = H(text)',
    unknown: `none, as without the log of systemd; ${UNREAD}; ${RTMR}`,
  },
  'userspace.machineId': {
    type: text,
    pcrs: [15],
    meaning: 'machine-id by systemd-pcrmachine',
    bound: 'digest = H(text)',
    unknown: `not measured, or the log of systemd did not come; behind an event that is of nothing in the log; ${RTMR}`,
  },
  'userspace.fileSystems': {
    type: text,
    list: true,
    pcrs: [15],
    meaning: 'file systems by systemd-pcrfs',
    bound: 'digest = H(text)',
    unknown: `none, as without the log of systemd; ${UNREAD}; ${RTMR}`,
  },
  'userspace.texts': {
    type: text,
    list: true,
    pcrs: [11, 15],
    meaning: 'all other texts of these registers',
    bound: 'digest = H(text)',
    unknown: `none, as without the log of systemd; ${UNREAD}; ${RTMR}`,
  },
  'userspace.untrustedSecrets': {
    type: digest,
    list: true,
    pcrs: [15],
    meaning: 'digests of which the log does not have the content, as it is with volume keys',
    bound: NEVER,
    unknown: `none; ${RTMR}`,
  },

  'windows.bootDebugging': windows('boolean', 'the boot manager or loader may be debugged'),
  'windows.kernelDebugging': windows('boolean', 'the kernel may be debugged'),
  'windows.hypervisorDebugging': windows('boolean', 'the hypervisor may be debugged'),
  'windows.testSigning': windows('boolean', 'drivers with test signatures are loaded'),
  'windows.flightSigning': windows('boolean', 'Microsoft’s flight signatures are accepted'),
  'windows.codeIntegrity': windows('boolean', 'signatures of kernel modules are checked'),
  'windows.safeMode': windows('boolean', 'booted into safe mode'),
  'windows.winPe': windows('boolean', 'Windows PE, not an installation'),
  'windows.dataExecutionPrevention': windows('number', '0 opt-in, 1 opt-out, 2 always off, 3 always on'),
  'windows.hypervisorLaunchType': windows('number', '0 off, 1 automatic'),
  'windows.vsmLaunchType': windows('number', 'virtual secure mode: 0 off, 1 automatic'),
  'windows.vsmRequired': windows('boolean', 'the boot fails without virtual secure mode; said only where it must'),
  'windows.iommuRequired': windows('boolean', 'the boot fails without an IOMMU; said only where it must'),
  'windows.secureBootRequired': windows('boolean', 'the boot fails without Secure Boot; said only where it must'),
  'windows.bootDmaProtection': windows('boolean', 'the hypervisor keeps devices from memory during boot'),
  'windows.bootRevocationListTime': windows(
    text,
    'when the boot manager’s list of revoked programs was made, ISO 8601',
  ),
  'windows.bootCounter': windows(text, 'how often this installation booted, decimal'),
  'windows.bitlockerUnlock': {
    ...windows('number', 'flags of SIPAEVENT_BITLOCKER_UNLOCK, once a stage'),
    list: true,
    pcrs: [12],
  },
  'windows.elamDrivers': {
    ...windows(text, 'early-launch anti-malware drivers'),
    list: true,
    pcrs: [12],
  },
  'windows.modules': {
    ...windows(
      {
        fields: { path: text, 'digest?': text, 'issuer?': text, 'validated?': 'boolean', event: 'number' },
      },
      'modules that boot manager and loader read, with Authenticode digests',
    ),
    list: true,
    pcrs: [13],
  },

  'drtm.launched': {
    type: 'boolean',
    pcrs: [17, 18],
    meaning: '`true`: there was a dynamic launch (Intel TXT, AMD SKINIT, Arm)',
    bound: 'only code of a launch may extend these registers',
    unknown: 'no measurement of PCR 17 or 18: the launch may have a log of its own',
  },
  'drtm.measurements': {
    type: { fields: { ...DIGEST, pcr: 'number' } },
    list: true,
    pcrs: [17, 18, 19, 20, 21, 22],
    meaning: 'what the launch measured',
    bound: PLACE,
    unknown: UNEXTENDED,
  },
  'drtm.untrustedMle': {
    type: digest,
    pcrs: [17, 18],
    meaning: 'the digest that the log says is the launched environment’s (MLE hash)',
    bound: NEVER,
    unknown: 'the log names none',
  },

  'log.unread': {
    type: { fields: { digest: text, pcr: 'number', event: 'number' } },
    list: true,
    pcrs: [1, 5, 7, 8, 12, 13, 14],
    meaning: 'measurements of registers that claims read of which only the digest is known',
    bound: PLACE,
    unknown: RTMR,
  },
}
