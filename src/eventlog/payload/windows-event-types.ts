/**
 * How the value of an event is laid out:
 * - `flag`: 1, 4 or 8 bytes, true unless all are zero
 * - `number`: an unsigned integer of 1 to 8 bytes, little endian
 * - `text`: UTF-16
 * - `algorithm`: ALG_ID of Windows' CryptoAPI
 * - `unlock`: how BitLocker unlocked a volume, bits
 * - `device`: what kind of device the system is on
 * - `revocation`, `policy`, `key`: structures (see windows-values.ts)
 * - `events`: events again
 * - `bytes`: hashes and keys
 */
export type WindowsValueKind =
  'flag' | 'number' | 'text' | 'algorithm' | 'unlock' | 'device' | 'revocation' | 'policy' | 'key' | 'events' | 'bytes'

export interface WindowsEventType {
  /** Of wbcl.h, without SIPAEVENT_. */
  readonly name: string
  /** In words. */
  readonly label: string
  readonly value: WindowsValueKind
}

/** Set in the types of events that are made of events. */
export const AGGREGATION = 0x40000000

export const TRUST_BOUNDARY = 0x40010001
export const LOADED_MODULE = 0x40010003
export const FILE_PATH = 0x00070001
export const AUTHENTICODE_HASH = 0x00070004
export const AUTHORITY_PUBLISHER = 0x00070008

/** wbcl.h of the Windows SDK. */
const rows: readonly (readonly [number, readonly [name: string, label: string, value: WindowsValueKind]])[] = [
  // containers
  [TRUST_BOUNDARY, ['TRUSTBOUNDARY', 'trust boundary', 'events']],
  [0x40010002, ['ELAM_AGGREGATION', 'early launch anti-malware', 'events']],
  [LOADED_MODULE, ['LOADEDMODULE_AGGREGATION', 'module', 'events']],
  [0xc0010004, ['TRUSTPOINT_AGGREGATION', 'trust point', 'events']],
  [0x40010005, ['KSR_AGGREGATION', 'kernel soft restart', 'events']],
  [0x40010006, ['KSR_SIGNED_MEASUREMENT_AGGREGATION', 'signed measurement of a soft restart', 'events']],
  // information
  [0x00020001, ['INFORMATION', 'information', 'bytes']],
  [0x00020002, ['BOOTCOUNTER', 'boot counter', 'number']],
  [0x00020003, ['TRANSFER_CONTROL', 'transfer of control', 'number']],
  [0x00020004, ['APPLICATION_RETURN', 'return of the application', 'number']],
  [0x00020005, ['BITLOCKER_UNLOCK', 'BitLocker unlocked by', 'unlock']],
  [0x00020006, ['EVENTCOUNTER', 'event counter', 'number']],
  [0x00020007, ['COUNTERID', 'counter id', 'number']],
  [0x00020008, ['MORBIT_NOT_CANCELABLE', 'memory overwrite not cancelable', 'flag']],
  [0x00020009, ['APPLICATION_SVN', 'security version of the application', 'number']],
  [0x0002000a, ['SVN_CHAIN_STATUS', 'status of the security version chain', 'number']],
  [0x0002000b, ['MORBIT_API_STATUS', 'status of memory overwrite', 'number']],
  [0x0002000c, ['IDK_GENERATION_STATUS', 'status of identity key generation', 'number']],
  // errors
  [0x00030001, ['FIRMWAREFAILURE', 'failure of the firmware', 'bytes']],
  [0x80030002, ['TPMFAILURE', 'failure of the TPM', 'bytes']],
  [0x00030003, ['INTERNALFAILURE', 'internal failure', 'bytes']],
  // before the operating system
  [0x00040001, ['BOOTDEBUGGING', 'boot debugging', 'flag']],
  [0x00040002, ['BOOT_REVOCATION_LIST', 'boot revocation list', 'revocation']],
  // parameters of the operating system
  [0x00050001, ['OSKERNELDEBUG', 'kernel debugging', 'flag']],
  [0x00050002, ['CODEINTEGRITY', 'code integrity', 'flag']],
  [0x00050003, ['TESTSIGNING', 'test signing', 'flag']],
  [0x00050004, ['DATAEXECUTIONPREVENTION', 'data execution prevention', 'number']],
  [0x00050005, ['SAFEMODE', 'safe mode', 'flag']],
  [0x00050006, ['WINPE', 'Windows PE', 'flag']],
  [0x00050007, ['PHYSICALADDRESSEXTENSION', 'physical address extension', 'number']],
  [0x00050008, ['OSDEVICE', 'system on', 'device']],
  [0x00050009, ['SYSTEMROOT', 'system root', 'text']],
  [0x0005000a, ['HYPERVISOR_LAUNCH_TYPE', 'hypervisor launch', 'number']],
  [0x0005000b, ['HYPERVISOR_PATH', 'hypervisor path', 'text']],
  [0x0005000c, ['HYPERVISOR_IOMMU_POLICY', 'hypervisor IOMMU policy', 'number']],
  [0x0005000d, ['HYPERVISOR_DEBUG', 'hypervisor debugging', 'flag']],
  [0x0005000e, ['DRIVER_LOAD_POLICY', 'driver load policy', 'number']],
  [0x0005000f, ['SI_POLICY', 'code integrity policy', 'policy']],
  [0x00050010, ['HYPERVISOR_MMIO_NX_POLICY', 'hypervisor MMIO no-execute policy', 'number']],
  [0x00050011, ['HYPERVISOR_MSR_FILTER_POLICY', 'hypervisor MSR filter policy', 'number']],
  [0x00050012, ['VSM_LAUNCH_TYPE', 'virtual secure mode launch', 'number']],
  [0x00050013, ['OS_REVOCATION_LIST', 'system revocation list', 'revocation']],
  [0x00050014, ['SMT_STATUS', 'hyper-threading status', 'number']],
  [0x00050020, ['VSM_IDK_INFO', 'identity key of virtual secure mode', 'key']],
  [0x00050021, ['FLIGHTSIGNING', 'flight signing', 'flag']],
  [0x00050022, ['PAGEFILE_ENCRYPTION_ENABLED', 'page file encryption', 'flag']],
  [0x00050023, ['VSM_IDKS_INFO', 'signing key of virtual secure mode', 'key']],
  [0x00050024, ['HIBERNATION_DISABLED', 'hibernation disabled', 'flag']],
  [0x00050025, ['DUMPS_DISABLED', 'dumps disabled', 'flag']],
  [0x00050026, ['DUMP_ENCRYPTION_ENABLED', 'dump encryption', 'flag']],
  [0x00050027, ['DUMP_ENCRYPTION_KEY_DIGEST', 'digest of the dump encryption key', 'bytes']],
  [0x00050028, ['LSAISO_CONFIG', 'isolation of LSA', 'number']],
  [0x00050029, ['SBCP_INFO', 'Secure Boot custom policy', 'bytes']],
  [0x00050030, ['HYPERVISOR_BOOT_DMA_PROTECTION', 'hypervisor boot DMA protection', 'flag']],
  [0x00050031, ['SI_POLICY_SIGNER', 'signer of the code integrity policy', 'bytes']],
  [0x00050032, ['SI_POLICY_UPDATE_SIGNER', 'update signer of the code integrity policy', 'bytes']],
  [0x0005003a, ['VSM_SEALED_SI_POLICY', 'sealed code integrity policy', 'bytes']],
  [0x0005003b, ['VSM_DRTM_KEYROLL_DETECTED', 'DRTM key roll detected', 'flag']],
  [0x0005003c, ['VSM_SRTM_UNSEAL_POLICY', 'SRTM unseal policy', 'bytes']],
  [0x0005003d, ['VSM_SRTM_ANTI_ROLLBACK_COUNTER', 'SRTM anti-rollback counter', 'number']],
  [0x00050040, ['VTL1_DUMP_CONFIG', 'secure dump configuration', 'number']],
  // authorities
  [0x00060001, ['NOAUTHORITY', 'no authority', 'flag']],
  [0x00060002, ['AUTHORITYPUBKEY', 'public key of an authority', 'bytes']],
  // loaded modules
  [FILE_PATH, ['FILEPATH', 'path', 'text']],
  [0x00070002, ['IMAGESIZE', 'size', 'number']],
  [0x00070003, ['HASHALGORITHMID', 'hash algorithm', 'algorithm']],
  [AUTHENTICODE_HASH, ['AUTHENTICODEHASH', 'Authenticode hash', 'bytes']],
  [0x00070005, ['AUTHORITYISSUER', 'issuer', 'text']],
  [0x00070006, ['AUTHORITYSERIAL', 'serial number', 'bytes']],
  [0x00070007, ['IMAGEBASE', 'base address', 'number']],
  [AUTHORITY_PUBLISHER, ['AUTHORITYPUBLISHER', 'publisher', 'text']],
  [0x00070009, ['AUTHORITYSHA1THUMBPRINT', 'thumbprint', 'bytes']],
  [0x0007000a, ['IMAGEVALIDATED', 'validated', 'flag']],
  [0x0007000b, ['MODULE_SVN', 'security version', 'number']],
  [0x0007000c, ['MODULE_PLUTON', 'Pluton firmware', 'bytes']],
  [0x0007000d, ['MODULE_ORIGINAL_FILENAME', 'original file name', 'text']],
  [0x0007000e, ['MODULE_VERSION', 'version', 'number']],
  [0x0007000f, ['PUBLISHER_OEMNAME', 'OEM', 'text']],
  // trust points: quotes that Windows made itself
  [0x80080001, ['QUOTE', 'quote', 'bytes']],
  [0x80080002, ['QUOTESIGNATURE', 'signature of the quote', 'bytes']],
  [0x80080003, ['AIKID', 'key', 'text']],
  [0x80080004, ['AIKPUBDIGEST', 'digest of the public key', 'bytes']],
  // early launch anti-malware
  [0x00090001, ['ELAM_KEYNAME', 'driver', 'text']],
  [0x00090002, ['ELAM_CONFIGURATION', 'configuration', 'bytes']],
  [0x00090003, ['ELAM_POLICY', 'policy', 'bytes']],
  [0x00090004, ['ELAM_MEASURED', 'measured', 'bytes']],
  // virtualisation-based security
  [0x000a0001, ['VBS_VSM_REQUIRED', 'virtual secure mode required', 'flag']],
  [0x000a0002, ['VBS_SECUREBOOT_REQUIRED', 'Secure Boot required', 'flag']],
  [0x000a0003, ['VBS_IOMMU_REQUIRED', 'IOMMU required', 'flag']],
  [0x000a0004, ['VBS_MMIO_NX_REQUIRED', 'MMIO no-execute required', 'flag']],
  [0x000a0005, ['VBS_MSR_FILTERING_REQUIRED', 'MSR filtering required', 'flag']],
  [0x000a0006, ['VBS_MANDATORY_ENFORCEMENT', 'mandatory enforcement', 'flag']],
  [0x000a0007, ['VBS_HVCI_POLICY', 'hypervisor code integrity policy', 'policy']],
  [0x000a0008, ['VBS_MICROSOFT_BOOT_CHAIN_REQUIRED', "Microsoft's boot chain required", 'flag']],
  [0x000a0009, ['VBS_DUMP_USES_AMEROOT', 'dumps use the AME root', 'flag']],
  [0x000a000a, ['VBS_VSM_NOSECRETS_ENFORCED', 'virtual secure mode without secrets', 'flag']],
  // kernel soft restart, dynamic launch
  [0x000b0001, ['KSR_SIGNATURE', 'signature', 'bytes']],
  [0x000c0001, ['DRTM_STATE_AUTH', 'DRTM state', 'bytes']],
  [0x000c0002, ['DRTM_SMM_LEVEL', 'DRTM SMM level', 'number']],
  [0x000c0003, ['DRTM_AMD_SMM_HASH', 'SMM hash', 'bytes']],
  [0x000c0004, ['DRTM_AMD_SMM_SIGNER_KEY', 'signer of SMM', 'bytes']],
]

/** The events of the Windows boot configuration log that this program knows, by their type. */
export const WINDOWS_EVENTS: ReadonlyMap<number, WindowsEventType> = new Map(
  rows.map(([id, [name, label, value]]) => [id, { name, label, value }]),
)
