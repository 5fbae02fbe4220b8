import { guid, image, machine, specId, tagged, u16, u32, utf16, variable, type Machine } from './odd-machine.ts'

const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
const SECURITY = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
const SHIM = '605dab50-e046-4300-abb6-3dd810dd8b23'
const X509 = 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072'

const SEPARATOR = Buffer.alloc(4)
const END = Buffer.of(0x7f, 0xff, 4, 0)
const CALLING = 'Calling EFI Application from Boot Option'
const INVOKED = 'Exit Boot Services Invocation'
const EXITED = 'Exit Boot Services Returned with Success'

const [POST, NONE, SEP, ACTION, TAG, CONTENTS, VERSION, MICROCODE, FLAGS, DEVICES, COMPACT, IPL, NONHOST] = [
  1, 3, 4, 5, 6, 7, 8, 9, 0xa, 0xb, 0xc, 0xd, 0x11,
] as const
const CONFIG = 0x80000001
const BOOT = 0x80000002
const APPLICATION = 0x80000003
const DRIVER = 0x80000004
const RUNTIME = 0x80000005
const GPT = 0x80000006
const EFI_ACTION = 0x80000007
const BLOB = 0x80000008
const HANDOFF = 0x80000009
const BLOB2 = 0x8000000a
const HANDOFF2 = 0x8000000b
const BOOT2 = 0x8000000c
const HCRTM = 0x80000010
const AUTHORITY = 0x800000e0

// Why tpm2_eventlog 5.4 is not asked of a log.
const SIZES = 'it knows algorithms by their names and not by the sizes of the header'
const LAYOUTS = 'it reads no such layout'
const PADDING = 'it takes padding for events'
const LOCALITY = 'it knows no startup locality, and extends notes'
const REGISTERS = 'it has no place for such a register'
const PAYLOADS = 'it stops at such a payload'
const CRASH = 'it crashes'

export interface Oddity {
  readonly name: string
  /** What the machine logs and measures. */
  readonly log: () => Machine
  readonly format?: string
  readonly registers?: string
  readonly banks?: readonly string[]
  /** `TYPE binding` of each event behind the Spec-ID event. */
  readonly events: readonly string[]
  /** `severity code index`; without those that are `info`. */
  readonly findings?: readonly string[]
  /** Why tpm2_eventlog is not asked. */
  readonly alone?: string
}

const certificate = Buffer.concat([Buffer.of(0x30, 0x82, 0, 4), Buffer.from('cert')])

function signatures(type: string, ...contents: readonly Buffer[]): Buffer {
  const size = 16 + (contents[0]?.byteLength ?? 0)
  const fields = Buffer.concat([u32(28 + size * contents.length), u32(0), u32(size)])
  return Buffer.concat([guid(type), fields, ...contents.map((content) => Buffer.concat([guid(SHIM), content]))])
}

/** What nearly all firmware does, with whatever is odd in it before, between and behind. */
function boot(
  on: Machine,
  {
    secure = true,
    before = [],
    between = [],
    after = [],
  }: Partial<Record<'before' | 'between' | 'after', readonly ((on: Machine) => Machine)[]>> & {
    readonly secure?: boolean
  } = {},
): Machine {
  for (const step of before) step(on)
  on.extend(0, VERSION, { data: utf16('1.2.3\0') })
  on.extend(0, BLOB, { data: Buffer.alloc(16, 1), measured: 'volume' })
  const keys = secure ? signatures(X509, certificate) : Buffer.alloc(0)
  on.extend(7, CONFIG, { data: variable(GLOBAL, 'SecureBoot', Buffer.of(secure ? 1 : 0)) })
  for (const [vendor, name] of [
    [GLOBAL, 'PK'],
    [GLOBAL, 'KEK'],
    [SECURITY, 'db'],
    [SECURITY, 'dbx'],
  ] as const) {
    on.extend(7, CONFIG, { data: variable(vendor, name, keys) })
  }
  on.extend(7, SEP, { data: SEPARATOR })
  for (const step of between) step(on)
  on.extend(4, EFI_ACTION, { data: CALLING })
  for (const pcr of [0, 1, 2, 3, 4, 5, 6]) on.extend(pcr, SEP, { data: SEPARATOR })
  on.extend(4, APPLICATION, { data: image('\\EFI\\BOOT\\BOOTX64.EFI'), measured: 'shim' })
  for (const step of after) step(on)
  return on.extend(5, EFI_ACTION, { data: INVOKED }).extend(5, EFI_ACTION, { data: EXITED })
}

const BOOTED = [
  'EV_S_CRTM_VERSION bound',
  'EV_EFI_PLATFORM_FIRMWARE_BLOB unbound',
  ...Array<string>(5).fill('EV_EFI_VARIABLE_DRIVER_CONFIG bound'),
  'EV_SEPARATOR bound',
]
const HANDED = [
  'EV_EFI_ACTION bound',
  ...Array<string>(7).fill('EV_SEPARATOR bound'),
  'EV_EFI_BOOT_SERVICES_APPLICATION unbound',
]
const LEFT = ['EV_EFI_ACTION bound', 'EV_EFI_ACTION bound']
const whole = (before: readonly string[] = [], between: readonly string[] = [], after: readonly string[] = []) => [
  ...before,
  ...BOOTED,
  ...between,
  ...HANDED,
  ...after,
  ...LEFT,
]

const locality = (value: number) => Buffer.concat([Buffer.from('StartupLocality\0'), Buffer.of(value)])
const crtm = (on: Machine) => on.extend(0, CONTENTS, { data: 'Boot Guard Measured S-CRTM', measured: 'acm' })
const loadOption = (name: string) => Buffer.concat([u32(1), u16(4), utf16(`${name}\0`), END])

/** A run of tagged events in another one, as Windows nests them. */
const windows = tagged(
  0x40010001,
  Buffer.concat([
    tagged(0x00020002, Buffer.alloc(8, 2)),
    tagged(
      0x40010003,
      Buffer.concat([tagged(0x00070001, utf16('\\Windows\\x.efi\0')), tagged(0x00070004, Buffer.alloc(32, 3))]),
    ),
  ]),
)

export const ODDITIES: readonly Oddity[] = [
  // banks and digests
  { name: 'a plain boot of EDK2', log: () => boot(machine()), events: whole() },
  { name: 'SHA-384 alone', log: () => boot(machine({ banks: ['sha384'] })), events: whole() },
  { name: 'four banks', log: () => boot(machine({ banks: ['sha1', 'sha256', 'sha384', 'sha512'] })), events: whole() },
  { name: 'SM3 beside SHA-256', log: () => boot(machine({ banks: ['sha256', 'sm3_256'] })), events: whole() },
  {
    name: 'SM3 alone',
    log: () => boot(machine({ banks: ['sm3_256'] })),
    events: whole().map((line) => line.replace(/ \w+$/, ' unbound')),
  },
  {
    name: 'SHA3-256 beside SHA-256',
    log: () => boot(machine({ banks: ['sha256', '0x27'] })),
    events: whole(),
    alone: SIZES,
  },
  {
    name: 'an algorithm of seven bytes',
    log: () => boot(machine({ banks: ['sha1', '0x1234', 'sha256'] })),
    events: whole(),
    alone: SIZES,
  },
  {
    name: 'digests in another order than in the header',
    log: () =>
      machine()
        .extend(1, DEVICES, { data: 'dtb', measured: 'x', banks: ['sha256', 'sha1'] })
        .extend(1, SEP, { data: SEPARATOR }),
    events: ['EV_TABLE_OF_DEVICES unbound', 'EV_SEPARATOR bound'],
  },
  {
    name: 'a header with four banks over events with two',
    findings: [
      'warning eventlog.digest_missing 1',
      'warning eventlog.digest_missing 1',
      'warning eventlog.separator_missing',
    ],
    log: () =>
      machine({ banks: ['sha1', 'sha256', 'sha384', 'sha512'] }).extend(4, EFI_ACTION, {
        data: CALLING,
        banks: ['sha1', 'sha256'],
      }),
    events: ['EV_EFI_ACTION bound'],
  },
  {
    name: 'a header with SHA-1 and SHA-256 over events with SHA-1',
    findings: ['warning eventlog.digest_missing 1', 'warning eventlog.separator_missing'],
    log: () => machine({ banks: ['sha1', 'sha256'] }).extend(4, EFI_ACTION, { data: CALLING, banks: ['sha1'] }),
    events: ['EV_EFI_ACTION bound'],
  },
  {
    name: 'marks with no digest, and with one of two',
    alone: LOCALITY,
    log: () =>
      boot(machine(), {
        before: [(on) => on.bytes(Buffer.concat([u32(0), u32(NONE), u32(0), u32(4), Buffer.from('note')]))],
        after: [(on) => on.bytes(Buffer.concat([u32(6), u32(NONE), u32(1), u16(0xb), Buffer.alloc(32), u32(0)]))],
      }),
    events: whole(['EV_NO_ACTION none'], [], ['EV_NO_ACTION none']),
  },
  // headers
  {
    name: "vendor's information in the header",
    log: () => boot(machine({ vendorInfo: Buffer.alloc(40, 9) })),
    events: whole(),
  },
  {
    name: "vendor's information that the size of the header leaves out",
    findings: ['error eventlog.header_size 0'],
    log: () => boot(machine({ vendorInfo: Buffer.from('deadbeef', 'hex'), headerSize: 37 })),
    events: whole(),
  },
  { name: 'a header and nothing else', log: () => machine(), events: [] },
  {
    name: 'no header',
    log: () => boot(machine({ hasHeader: false, banks: ['sha256', 'sha384'] })),
    format: 'tcg2-headerless',
    events: whole(),
    alone: LAYOUTS,
  },
  {
    name: 'a second header, of another program behind the firmware',
    findings: ['warning eventlog.header_repeated 20'],
    alone: LAYOUTS,
    log: () => {
      const on = boot(machine())
      return on.bytes(specId('Spec ID Event03', on.banks)).extend(9, IPL, { data: 'vmlinuz\0', measured: 'kernel' })
    },
    events: [...whole(), 'EV_NO_ACTION none', 'EV_IPL unbound'],
  },
  // TCG 1.2
  { name: 'TCG 1.2', log: () => boot(machine({ isSha1: true })), format: 'tcg1.2', events: whole() },
  {
    name: 'TCG 1.2 with its own header',
    log: () =>
      boot(machine({ isSha1: true }).bytes(specId('Spec ID Event00', [], { vendorInfo: Buffer.from('vendor') }))),
    format: 'tcg1.2',
    events: ['EV_NO_ACTION none', ...whole()],
    alone: LAYOUTS,
  },
  {
    name: 'TCG 1.2 with the header of EFI',
    log: () => boot(machine({ isSha1: true }).bytes(specId('Spec ID Event02', []))),
    format: 'tcg1.2',
    events: ['EV_NO_ACTION none', ...whole()],
    alone: LAYOUTS,
  },
  {
    name: 'TCG 1.2 of Windows after it resumed: a hash, tagged events, and a note to register 0xFFFFFFFF',
    log: () =>
      machine({ isSha1: true })
        .extend(11, COMPACT, { data: Buffer.of(16, 0, 0, 0), measured: 'resume' })
        .extend(12, TAG, { data: windows })
        .extend(13, TAG, { data: windows })
        .note(0xffffffff, windows),
    format: 'tcg1.2',
    events: ['EV_COMPACT_HASH unbound', 'EV_EVENT_TAG bound', 'EV_EVENT_TAG bound', 'EV_NO_ACTION none'],
    alone: CRASH,
  },
  {
    name: 'TCG 1.2 in an area of zeros',
    log: () => boot(machine({ isSha1: true })).bytes(Buffer.alloc(65536)),
    format: 'tcg1.2',
    events: whole(),
    alone: PADDING,
  },
  {
    name: 'TCG 1.2 with a startup locality',
    log: () => boot(machine({ isSha1: true, locality: 3 }), { before: [(on) => on.note(0, locality(3)), crtm] }),
    format: 'tcg1.2',
    events: whole(['EV_NO_ACTION none', 'EV_S_CRTM_CONTENTS unbound']),
    alone: LAYOUTS,
  },
  // where PCR 0 begins
  {
    name: 'startup locality 0',
    alone: LOCALITY,
    log: () => boot(machine(), { before: [(on) => on.note(0, locality(0))] }),
    events: whole(['EV_NO_ACTION none']),
  },
  {
    name: 'startup locality 3',
    log: () => boot(machine({ locality: 3 }), { before: [(on) => on.note(0, locality(3)), crtm] }),
    events: whole(['EV_NO_ACTION none', 'EV_S_CRTM_CONTENTS unbound']),
    alone: LOCALITY,
  },
  {
    name: 'startup locality 4',
    log: () => boot(machine({ locality: 4 }), { before: [(on) => on.note(0, locality(4))] }),
    events: whole(['EV_NO_ACTION none']),
    alone: LOCALITY,
  },
  {
    name: 'a startup locality in an entry of fixed size',
    log: () =>
      boot(machine({ locality: 3 }), { before: [(on) => on.note(0, Buffer.concat([locality(3), Buffer.alloc(33)]))] }),
    events: whole(['EV_NO_ACTION none']),
    alone: LOCALITY,
  },
  {
    name: 'a startup locality said twice',
    log: () =>
      boot(machine({ locality: 3 }), { before: [(on) => on.note(0, locality(3)), (on) => on.note(0, locality(3))] }),
    events: whole(['EV_NO_ACTION none', 'EV_NO_ACTION none']),
    findings: ['error eventlog.startup_locality 2'],
    alone: LOCALITY,
  },
  {
    name: 'a startup locality said late',
    log: () => boot(machine(), { between: [(on) => on.note(0, locality(3))] }),
    events: whole([], ['EV_NO_ACTION none']),
    findings: ['error eventlog.startup_locality 9'],
    alone: LOCALITY,
  },
  {
    name: 'a startup locality that no TPM has',
    log: () => boot(machine(), { before: [(on) => on.note(0, locality(1))] }),
    events: whole(['EV_NO_ACTION none']),
    findings: ['error eventlog.startup_locality 1'],
    alone: LOCALITY,
  },
  {
    name: 'a startup locality said of another register',
    alone: LOCALITY,
    log: () => boot(machine(), { before: [(on) => on.note(1, locality(3))] }),
    events: whole(['EV_NO_ACTION none']),
  },
  {
    name: 'an H-CRTM',
    alone: LOCALITY,
    log: () =>
      boot(machine({ locality: 4 }), { before: [(on) => on.extend(0, HCRTM, { data: 'HCRTM', measured: 'rom' })] }),
    events: whole(['EV_EFI_HCRTM_EVENT unbound']),
  },
  {
    name: 'an H-CRTM behind its startup locality',
    alone: LOCALITY,
    log: () =>
      boot(machine({ locality: 4 }), {
        before: [(on) => on.note(0, locality(4)), (on) => on.extend(0, HCRTM, { data: 'HCRTM', measured: 'rom' })],
      }),
    events: whole(['EV_NO_ACTION none', 'EV_EFI_HCRTM_EVENT unbound']),
  },
  // notes
  {
    name: 'notes of all kinds, known and not',
    log: () =>
      boot(machine(), {
        before: [
          (on) => on.note(0, Buffer.concat([Buffer.from('SP800-155 Event\0'), u32(343), Buffer.alloc(16)])),
          (on) => on.note(0xffffffff, Buffer.from('SP800-155 Event3')),
          (on) => on.note(0, Buffer.from('SomeVendorEvent\0and its data')),
          (on) => on.note(6, ''),
          (on) => on.note(0, Buffer.alloc(3)),
        ],
      }),
    events: whole(Array<string>(5).fill('EV_NO_ACTION none')),
    alone: REGISTERS,
  },
  // confidential guests
  {
    name: 'CCEL of TDVF, padded with ones',
    findings: [
      'warning eventlog.variable_missing',
      'warning eventlog.variable_missing',
      'warning eventlog.variable_missing',
      'warning eventlog.variable_missing',
    ],
    log: () =>
      machine({ isGuest: true, banks: ['sha384'], register: 1 })
        .extend(1, HANDOFF2, {
          data: Buffer.concat([Buffer.of(9), Buffer.from('TdxTable\0'), Buffer.alloc(32)]),
          measured: 'hob',
        })
        .extend(1, BLOB2, { data: Buffer.from('\x10td configuration'), measured: 'cfv' })
        .extend(1, CONFIG, { data: variable(GLOBAL, 'SecureBoot', Buffer.alloc(0)) })
        .extend(1, SEP, { data: SEPARATOR })
        .extend(2, EFI_ACTION, { data: CALLING })
        .extend(2, SEP, { data: SEPARATOR })
        .extend(2, APPLICATION, { data: image('\\EFI\\BOOT\\BOOTX64.EFI'), measured: 'shim' })
        .extend(3, IPL, { data: 'grub_cmd: boot\0', measured: 'boot' })
        .extend(2, EFI_ACTION, { data: INVOKED })
        .extend(2, EFI_ACTION, { data: EXITED })
        .extend(4, TAG, { data: tagged(0x41454c, Buffer.from('github.com/x launch {}')) })
        .bytes(Buffer.alloc(262144, 0xff)),
    registers: 'rtmr',
    events: [
      'EV_EFI_HANDOFF_TABLES2 unbound',
      'EV_EFI_PLATFORM_FIRMWARE_BLOB2 unbound',
      'EV_EFI_VARIABLE_DRIVER_CONFIG bound',
      'EV_SEPARATOR bound',
      'EV_EFI_ACTION bound',
      'EV_SEPARATOR bound',
      'EV_EFI_BOOT_SERVICES_APPLICATION unbound',
      'EV_IPL bound',
      'EV_EFI_ACTION bound',
      'EV_EFI_ACTION bound',
      'EV_EVENT_TAG bound',
    ],
    alone: LAYOUTS,
  },
  {
    name: 'CCEL of td-shim, whose header is for register 0',
    findings: ['warning eventlog.exit_boot_services_missing'],
    log: () =>
      machine({ isGuest: true, banks: ['sha384'] })
        .extend(1, HANDOFF2, { data: 'td_hob\0', measured: 'hob' })
        .extend(1, FLAGS, { data: 'td_payload_info\0', measured: 'x' })
        .extend(2, BLOB2, { data: 'td_payload\0', measured: 'kernel' })
        .extend(1, SEP, { data: SEPARATOR })
        .extend(2, SEP, { data: SEPARATOR })
        .bytes(Buffer.alloc(4096)),
    registers: 'rtmr',
    events: [
      'EV_EFI_HANDOFF_TABLES2 unbound',
      'EV_PLATFORM_CONFIG_FLAGS unbound',
      'EV_EFI_PLATFORM_FIRMWARE_BLOB2 unbound',
      'EV_SEPARATOR bound',
      'EV_SEPARATOR bound',
    ],
    alone: PADDING,
  },
  // launches
  {
    name: "a host of Google's, whose launch has a type of its own",
    findings: ['warning eventlog.type_register 5', 'warning eventlog.crtm_version_missing'],
    log: () =>
      machine({ banks: ['sha256'], locality: 4 })
        .extend(0, HCRTM, { data: 'HCRTM', measured: 'bmc' })
        .extend(0, SEP, { data: SEPARATOR })
        .launch()
        .extend(17, 0x10000000, { data: 'DRTM', measured: 'bios' })
        .extend(17, SEP, { data: SEPARATOR })
        .extend(21, APPLICATION, { data: image('\\vmlinuz'), measured: 'kernel' })
        .extend(21, SEP, { data: SEPARATOR }),
    events: [
      'EV_EFI_HCRTM_EVENT unbound',
      'EV_SEPARATOR bound',
      'EV_GOOGLE_DRTM_EVENT unbound',
      'EV_SEPARATOR bound',
      'EV_EFI_BOOT_SERVICES_APPLICATION unbound',
      'EV_SEPARATOR bound',
    ],
    alone: LOCALITY,
  },
  {
    name: 'a launch by Intel TXT behind a boot',
    log: () =>
      boot(machine({ banks: ['sha256'] }))
        .note(255, u32(1), 0x401)
        .launch()
        .extend(17, 0x402, { data: Buffer.alloc(40), measured: 'sinit' })
        .extend(17, 0x40b, { data: u32(0) })
        .extend(18, 0x404, { data: '', measured: 'kernel' })
        .note(17, '', 0x503)
        .extend(18, 0x502, { data: 'Measured Linux initrd', measured: 'initrd' }),
    events: [
      ...whole(),
      'EVTYPE_PCR_MAPPING none',
      'EVTYPE_HASH_START unbound',
      'EVTYPE_CPU_SCRTM_STAT bound',
      'EVTYPE_MLE_HASH unbound',
      'EV_SLAUNCH_START none',
      'EV_SLAUNCH unbound',
    ],
    alone: REGISTERS,
  },
  {
    name: 'registers 16 and 23',
    log: () => boot(machine()).extend(16, ACTION, { data: 'debug' }).extend(23, ACTION, { data: 'application' }),
    events: [...whole(), 'EV_ACTION bound', 'EV_ACTION bound'],
  },
  // other firmware
  {
    name: "Arm's trusted firmware: names of images, no version",
    findings: ['warning eventlog.separator_missing', 'warning eventlog.crtm_version_missing'],
    alone: PAYLOADS,
    log: () => {
      const on = machine({ banks: ['sha256'] }).note(0, locality(0))
      for (const name of ['BL_2', 'SECURE_RT_EL3', 'SECURE_RT_EL1', 'NON_SECURE_BL33', 'HW_CONFIG'])
        on.extend(0, POST, { data: `${name}\0`, measured: name })
      return on.extend(0, CONTENTS, { data: '', measured: 'x' })
    },
    events: ['EV_NO_ACTION none', ...Array<string>(5).fill('EV_POST_CODE unbound'), 'EV_S_CRTM_CONTENTS unbound'],
  },
  {
    name: 'U-Boot: a device tree and load options',
    log: () =>
      boot(machine({ banks: ['sha256', 'sha384'] }), {
        between: [
          (on) => on.extend(1, DEVICES, { data: 'fdt', measured: 'fdt of the board' }),
          (on) => on.extend(1, BOOT, { data: variable(GLOBAL, 'BootOrder', u16(0)), measured: u16(0) }),
          (on) =>
            on.extend(1, BOOT, {
              data: variable(GLOBAL, 'Boot0000', loadOption('disk')),
              measured: loadOption('disk'),
            }),
        ],
      }),
    events: whole([], ['EV_TABLE_OF_DEVICES unbound', 'EV_EFI_VARIABLE_BOOT bound', 'EV_EFI_VARIABLE_BOOT bound']),
  },
  {
    name: 'QEMU: tables of ACPI as flags, and files of fw_cfg',
    log: () =>
      boot(machine(), {
        between: [
          (on) => on.extend(1, FLAGS, { data: 'ACPI DATA', measured: 'tables' }),
          (on) => on.extend(1, FLAGS, { data: 'etc/smbios/smbios-tables', measured: 'y' }),
          (on) => on.extend(1, HANDOFF, { data: Buffer.alloc(32), measured: 'z' }),
        ],
      }),
    events: whole(
      [],
      ['EV_PLATFORM_CONFIG_FLAGS unbound', 'EV_PLATFORM_CONFIG_FLAGS unbound', 'EV_EFI_HANDOFF_TABLES unbound'],
    ),
  },
  {
    name: 'a laptop: microcode, option ROMs, drivers, what no host runs, types of its vendor',
    log: () =>
      boot(machine(), {
        between: [
          (on) => on.extend(1, MICROCODE, { data: 'CPU Microcode\0', measured: 'm' }),
          (on) => on.extend(0, NONHOST, { data: 'ME 12' }),
          (on) => on.extend(2, DRIVER, { data: image('\\rom.efi'), measured: 'rom' }),
          (on) => on.extend(2, RUNTIME, { data: Buffer.alloc(32), measured: 'rom 2' }),
          (on) => on.extend(6, COMPACT, { data: 'Dell Configuration Information 1\0', measured: 'x' }),
          (on) => on.extend(0, 0x80000112, { data: 'vendor', measured: 'x' }),
          (on) => on.extend(1, 0xffff0001, { data: '', measured: 'x' }),
          (on) => on.extend(0, POST, { data: 'POST CODE', measured: 'x' }),
        ],
      }),
    events: whole(
      [],
      [
        'EV_CPU_MICROCODE unbound',
        'EV_NONHOST_INFO bound',
        'EV_EFI_BOOT_SERVICES_DRIVER unbound',
        'EV_EFI_RUNTIME_SERVICES_DRIVER unbound',
        'EV_COMPACT_HASH unbound',
        '0x80000112 unbound',
        '0xffff0001 unbound',
        'EV_POST_CODE unbound',
      ],
    ),
    findings: ['warning eventlog.type_unknown 14', 'warning eventlog.type_unknown 15'],
  },
  {
    name: 'boot variables measured whole',
    log: () =>
      boot(machine(), {
        between: [
          (on) => on.extend(1, BOOT, { data: variable(GLOBAL, 'BootOrder', u16(3)) }),
          (on) => on.extend(1, BOOT, { data: variable(GLOBAL, 'Boot0003', loadOption('hp')) }),
        ],
      }),
    events: whole([], ['EV_EFI_VARIABLE_BOOT bound', 'EV_EFI_VARIABLE_BOOT bound']),
  },
  {
    name: 'boot variables of the newer kind',
    log: () =>
      boot(machine(), {
        between: [
          (on) => on.extend(1, BOOT2, { data: variable(GLOBAL, 'BootOrder', u16(3)) }),
          (on) => on.extend(1, BOOT2, { data: variable(GLOBAL, 'Boot0003', loadOption('new')) }),
        ],
      }),
    events: whole([], ['EV_EFI_VARIABLE_BOOT2 bound', 'EV_EFI_VARIABLE_BOOT2 bound']),
  },
  {
    name: "a variable of its vendor's own among those of the boot, measured whole",
    log: () =>
      boot(machine(), { between: [(on) => on.extend(1, BOOT2, { data: variable(SHIM, 'FastBoot', Buffer.of(1)) })] }),
    events: whole([], ['EV_EFI_VARIABLE_BOOT2 bound']),
    findings: ['warning eventlog.boot_variable 9'],
  },
  {
    name: 'separators of ones, and a second try to boot',
    log: () => {
      const on = machine()
      on.extend(0, VERSION, { data: 'v' }).extend(4, EFI_ACTION, { data: CALLING })
      for (const pcr of [0, 1, 2, 3, 4, 5, 6, 7]) on.extend(pcr, SEP, { data: Buffer.alloc(4, 0xff) })
      on.extend(4, APPLICATION, { data: image('\\a.efi'), measured: 'a' })
      on.extend(4, EFI_ACTION, { data: 'Returning from EFI Application from Boot Option' }).extend(4, EFI_ACTION, {
        data: CALLING,
      })
      return on
        .extend(4, APPLICATION, { data: image('\\b.efi'), measured: 'b' })
        .extend(5, EFI_ACTION, { data: EXITED })
    },
    events: [
      'EV_S_CRTM_VERSION bound',
      'EV_EFI_ACTION bound',
      ...Array<string>(8).fill('EV_SEPARATOR bound'),
      'EV_EFI_BOOT_SERVICES_APPLICATION unbound',
      'EV_EFI_ACTION bound',
      'EV_EFI_ACTION bound',
      'EV_EFI_BOOT_SERVICES_APPLICATION unbound',
      'EV_EFI_ACTION bound',
    ],
  },
  // loaders
  {
    name: 'shim 15.8 and GRUB',
    log: () =>
      boot(machine(), {
        after: [
          (on) => on.extend(14, IPL, { data: 'MokList\0', measured: 'list' }),
          (on) => on.extend(14, IPL, { data: 'MokListX\0', measured: 'listx' }),
          (on) => on.extend(7, AUTHORITY, { data: variable(SHIM, 'SbatLevel', Buffer.from('sbat,1,2023012900\n')) }),
          (on) => on.extend(7, AUTHORITY, { data: variable(SHIM, 'MokListTrusted', Buffer.of(1)) }),
          (on) => on.extend(14, IPL, { data: 'MokListTrusted\0', measured: Buffer.of(1) }),
          (on) => on.extend(8, IPL, { data: 'grub_cmd: set timeout=0\0', measured: 'set timeout=0' }),
          (on) => on.extend(9, IPL, { data: '(hd0,gpt2)/vmlinuz\0', measured: 'kernel' }),
          (on) => on.extend(8, IPL, { data: 'kernel_cmdline: /vmlinuz quiet\0', measured: '/vmlinuz quiet' }),
          (on) => on.extend(8, IPL, { data: 'module_cmdline: /xen.gz\0', measured: '/xen.gz' }),
          (on) => on.extend(9, TAG, { data: tagged(0x8f3b22ec, Buffer.from('Linux initrd\0')), measured: 'initrd' }),
        ],
      }),
    events: whole(
      [],
      [],
      [
        'EV_IPL unbound',
        'EV_IPL unbound',
        'EV_EFI_VARIABLE_AUTHORITY bound',
        'EV_EFI_VARIABLE_AUTHORITY bound',
        'EV_IPL unbound',
        'EV_IPL bound',
        'EV_IPL unbound',
        'EV_IPL bound',
        'EV_IPL bound',
        'EV_EVENT_TAG unbound',
      ],
    ),
  },
  {
    name: "Red Hat's GRUB, which hashes the NUL",
    log: () =>
      boot(machine(), {
        after: [
          (on) => on.extend(8, IPL, { data: 'grub_cmd linux /vmlinuz\0', measured: 'linux /vmlinuz\0' }),
          (on) => on.extend(8, IPL, { data: 'grub_kernel_cmdline /vmlinuz ro\0', measured: '/vmlinuz ro\0' }),
        ],
      }),
    events: whole([], [], ['EV_IPL bound', 'EV_IPL bound']),
  },
  {
    name: 'an old shim, which leaves out the last byte',
    log: () =>
      boot(machine(), {
        after: [
          (on) =>
            on.extend(7, AUTHORITY, {
              data: Buffer.concat([variable(SHIM, 'Shim', certificate), Buffer.alloc(2)]),
              measured: Buffer.concat([variable(SHIM, 'Shim', certificate), Buffer.alloc(1)]),
            }),
        ],
      }),
    events: whole([], [], ['EV_EFI_VARIABLE_AUTHORITY bound']),
    findings: ['warning eventlog.digest_short 18'],
  },
  {
    name: 'systemd-boot, sd-stub and a unified kernel image',
    log: () =>
      boot(machine({ banks: ['sha256'] }), {
        after: [
          (on) => on.extend(5, TAG, { data: tagged(0xf5bc582a, utf16('loader.conf\0')), measured: 'timeout 3' }),
          (on) => on.extend(11, IPL, { data: utf16('.linux\0'), measured: '.linux\0' }),
          (on) => on.extend(11, IPL, { data: utf16('.linux\0'), measured: 'the kernel' }),
          (on) => on.extend(12, IPL, { data: utf16('root=/dev/sda1 ro\0') }),
          (on) => on.extend(13, IPL, { data: utf16('System Extension initrd\0'), measured: 'cpio' }),
          (on) => on.extend(12, IPL, { data: utf16('Credentials initrd\0'), measured: 'cpio' }),
        ],
      }),
    events: whole(
      [],
      [],
      ['EV_EVENT_TAG unbound', 'EV_IPL bound', 'EV_IPL unbound', 'EV_IPL bound', 'EV_IPL unbound', 'EV_IPL unbound'],
    ),
  },
  {
    name: 'Windows behind UEFI: trust boundaries, WBCL, a note at the end',
    log: () =>
      boot(machine(), {
        after: [
          (on) => on.extend(12, TAG, { data: windows }),
          (on) => on.extend(13, TAG, { data: windows }),
          (on) => on.extend(12, SEP, { data: 'WBCL' }),
          (on) => on.extend(11, SEP, { data: SEPARATOR }),
        ],
      }).note(0xffffffff, windows),
    events: [
      ...whole([], [], ['EV_EVENT_TAG bound', 'EV_EVENT_TAG bound', 'EV_SEPARATOR bound', 'EV_SEPARATOR bound']),
      'EV_NO_ACTION none',
    ],
    alone: REGISTERS,
  },
  {
    name: "EVE's grammar",
    log: () =>
      boot(machine({ banks: ['sha256'] }), {
        after: [
          (on) => on.extend(8, IPL, { data: 'grub_cmd: measurefs\0', measured: 'measurefs' }),
          (on) =>
            on.extend(13, IPL, { data: `squash4 ${'ab'.repeat(32)}\0`, measured: Buffer.from('ab'.repeat(32), 'hex') }),
        ],
      }).extend(14, EFI_ACTION, { data: 'file:/config/server exist:true content-hash:00' }),
    events: [...whole([], [], ['EV_IPL bound', 'EV_IPL bound']), 'EV_EFI_ACTION bound'],
  },
  // what must not stop a reader
  {
    name: 'payloads that are not what their types say',
    findings: ['error eventlog.payload_mismatch 9', 'error eventlog.payload_mismatch 10'],
    log: () =>
      boot(machine(), {
        between: [
          (on) => on.extend(1, BOOT, { data: Buffer.alloc(3), measured: 'x' }),
          (on) => on.extend(5, GPT, { data: Buffer.alloc(7), measured: 'x' }),
          (on) =>
            on.extend(2, DRIVER, { data: Buffer.concat([Buffer.alloc(24), Buffer.alloc(8, 0xff)]), measured: 'x' }),
          (on) => on.extend(0, BLOB, { data: '', measured: 'x' }),
          (on) => on.extend(1, TAG, { data: Buffer.alloc(12, 0xff), measured: 'x' }),
          (on) => on.extend(1, HANDOFF, { data: Buffer.alloc(8, 0xff), measured: 'x' }),
          (on) => on.extend(0, HANDOFF2, { data: Buffer.of(255), measured: 'x' }),
        ],
      }),
    events: whole(
      [],
      [
        'EV_EFI_VARIABLE_BOOT mismatch',
        'EV_EFI_GPT_EVENT mismatch',
        'EV_EFI_BOOT_SERVICES_DRIVER unbound',
        'EV_EFI_PLATFORM_FIRMWARE_BLOB unbound',
        'EV_EVENT_TAG unbound',
        'EV_EFI_HANDOFF_TABLES unbound',
        'EV_EFI_HANDOFF_TABLES2 unbound',
      ],
    ),
    alone: PAYLOADS,
  },
  {
    name: 'a variable that claims more than there is',
    findings: ['error eventlog.payload_malformed 9'],
    log: () =>
      boot(machine(), {
        between: [(on) => on.extend(1, CONFIG, { data: Buffer.concat([guid(GLOBAL), Buffer.alloc(16, 0xff)]) })],
      }),
    events: whole([], ['EV_EFI_VARIABLE_DRIVER_CONFIG bound']),
    alone: PAYLOADS,
  },
  {
    name: 'events without payload, and a payload of a megabyte',
    findings: ['warning eventlog.type_register 9'],
    log: () =>
      boot(machine(), {
        between: [
          (on) => on.extend(1, IPL, {}),
          (on) => on.extend(4, IPL, { data: '', measured: 'x' }),
          (on) => on.extend(2, 0xf, { data: Buffer.alloc(1 << 20, 7) }),
        ],
      }),
    events: whole([], ['EV_IPL bound', 'EV_IPL unbound', 'EV_NONHOST_CODE bound']),
  },
  {
    name: 'a register that no TPM has',
    log: () => boot(machine()).extend(24, ACTION, { data: 'x' }).extend(0xfffffffe, ACTION, { data: 'x' }),
    events: [...whole(), 'EV_ACTION bound', 'EV_ACTION bound'],
    findings: ['error eventlog.register_range 20', 'error eventlog.register_range 21'],
    alone: REGISTERS,
  },
  {
    name: 'the separator of an error',
    findings: ['error eventlog.firmware_error 9', 'warning eventlog.separator_repeated 12'],
    log: () => boot(machine(), { between: [(on) => on.extend(1, SEP, { data: u32(1) })] }),
    events: whole([], ['EV_SEPARATOR bound']),
  },
  {
    name: 'an area filled with ones',
    log: () => boot(machine()).bytes(Buffer.alloc(4096, 0xff)),
    events: whole(),
    alone: PADDING,
  },
]
