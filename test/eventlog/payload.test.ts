import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import test from 'node:test'
import { annotate } from '../../src/eventlog/annotate.ts'
import { parseEventLog } from '../../src/eventlog/parse.ts'
import { decodeBootOption } from '../../src/eventlog/payload/boot-option.ts'
import { certificateNames } from '../../src/eventlog/payload/certificate-names.ts'
import { devicePathText } from '../../src/eventlog/payload/device-path.ts'
import { decodeGpt } from '../../src/eventlog/payload/gpt.ts'
import { guidText } from '../../src/eventlog/payload/guid.ts'
import { decodeImageLoad } from '../../src/eventlog/payload/image.ts'
import {
  contentOf,
  decodeSignatureLists,
  isSignatureLists,
  ownerOf,
} from '../../src/eventlog/payload/signature-list.ts'
import { decodeTaggedEvents } from '../../src/eventlog/payload/tagged.ts'
import { labelText, printable } from '../../src/eventlog/payload/text.ts'
import { decodeVariable } from '../../src/eventlog/payload/variable.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { GLOBAL, guid, SHA256, SHIM, signatureList, u16, u32, u64, variable, X509 } from './build-log.ts'
import { bootFile, realLog, realLogs } from './logs.ts'

test('a GUID is written with its first three fields swapped', () => {
  assert.equal(guidText(guid(GLOBAL)), GLOBAL)
  assert.equal(guidText(Buffer.from('61dfe48bca93d211aa0d00e098032b8c', 'hex')), GLOBAL)
})

test('reads UEFI_VARIABLE_DATA', () => {
  assert.deepEqual(decodeVariable(variable(GLOBAL, 'PK', Buffer.from('key'))), {
    vendor: GLOBAL,
    name: 'PK',
    value: Buffer.from('key'),
    trailing: 0,
  })
  assert.equal(decodeVariable(Buffer.concat([variable(SHIM, 'Shim', Buffer.alloc(3)), Buffer.alloc(6)]))?.trailing, 6)
})

for (const [name, data] of [
  ['of 31 bytes', Buffer.alloc(31)],
  ['without a name', variable(GLOBAL, '', Buffer.from('x'))],
  ['with a name longer than itself', Buffer.concat([guid(GLOBAL), u64(100), u64(0)])],
  ['with a value longer than itself', Buffer.concat([guid(GLOBAL), u64(1), u64(1), u16(0x41)])],
  ['with a length above 2^32', Buffer.concat([guid(GLOBAL), u64(2 ** 33), u64(0), u16(0x41)])],
] as const) {
  test(`does not read a variable ${name}`, () => {
    assert.equal(decodeVariable(data), undefined)
  })
}

test('reads chains of EFI_SIGNATURE_LIST, headers included', () => {
  const chain = Buffer.concat([
    signatureList(X509, GLOBAL, Buffer.from('certificate')),
    signatureList(SHA256, SHIM, Buffer.alloc(32, 9), Buffer.from('header')),
    signatureList('11111111-2222-3333-4444-555555555555', SHIM, Buffer.from('?')),
  ])
  assert.deepEqual(
    decodeSignatureLists(chain)?.map((entry) => [entry.kind, ownerOf(entry), contentOf(entry).byteLength]),
    [
      ['x509', GLOBAL, 11],
      ['hash', SHIM, 32],
      ['other', SHIM, 1],
    ],
  )
  assert.deepEqual(decodeSignatureLists(Buffer.alloc(0)), [])
  assert.ok(isSignatureLists(chain))
  assert.ok(isSignatureLists(Buffer.alloc(0)))
})

const list = signatureList(SHA256, SHIM, Buffer.alloc(32, 9))
const withField = (at: number, value: number) => {
  const changed: Buffer = Buffer.from(list)
  changed.writeUInt32LE(value, at)
  return changed
}

for (const [name, data] of [
  ['with a list size of 0', withField(16, 0)],
  ['with a list size beyond the end', withField(16, 0xffffffff)],
  ['with a header beyond the list', withField(20, 0xffffffff)],
  ['with a signature size of 0', withField(24, 0)],
  ['with signatures that do not fill the list', withField(24, 47)],
  ['that is cut off', list.subarray(0, 27)],
] as const) {
  test(`does not read a signature list ${name}`, () => {
    assert.equal(decodeSignatureLists(data), undefined)
    assert.equal(isSignatureLists(data), false)
  })
}

test('names certificates as OpenSSL does', () => {
  const certificates = annotate(parseEventLog(bootFile('honest', 'eventlog.bin')), 'sha256')
    .flatMap(({ content }) =>
      content?.kind === 'variable' ? (decodeSignatureLists(content.variable.value) ?? []) : [],
    )
    .filter(({ kind }) => kind === 'x509')
  assert.ok(certificates.length >= 5)
  for (const entry of certificates) {
    const { subject, issuer } = new X509Certificate(contentOf(entry))
    assert.deepEqual(certificateNames(contentOf(entry)), {
      subject: subject.replaceAll('\n', ', '),
      issuer: issuer.replaceAll('\n', ', '),
    })
  }
})

test('names every certificate of real machines', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  for (const name of realLogs()) {
    for (const { data } of parseEventLog(realLog(name)).events) {
      const entries = decodeSignatureLists(decodeVariable(data)?.value ?? Buffer.alloc(0)) ?? []
      for (const entry of entries.filter(({ kind }) => kind === 'x509')) {
        assert.notEqual(certificateNames(contentOf(entry)), undefined, name)
      }
    }
  }
})

test('does not name what is no certificate', () => {
  for (const hex of ['', '30', '3000', '3082ffff', '30023000', '3003300102', '30803080', '308fffff']) {
    assert.equal(certificateNames(Buffer.from(hex, 'hex')), undefined)
  }
})

const END = '7fff0400'
const paths: readonly (readonly [string, string])[] = [
  ['', ''],
  [END, ''],
  [`02010c00d041030a00000000${END}`, 'PciRoot(0x0)'],
  [`02010c00d041030a0000000001010600021f${END}`, 'PciRoot(0x0)/Pci(0x1f,0x2)'],
  [`02010c00d041030300000000${END}`, 'Acpi(PNP0303,0x0)'],
  [`030a1800b97a7b2e3f5a6d4f8f1b0123456789abcdef0123${END}`, 'VenMsg(2e7b7ab9-5a3f-4f6d-8f1b-0123456789ab,cdef0123)'],
  [`03120a000100ffff0000${END}`, 'Sata(0x1,0xffff,0x0)'],
  [`03171000010000001122334455667788${END}`, 'NVMe(0x1,88-77-66-55-44-33-22-11)'],
  [`04040e005c0061002e0062000000${END}`, '\\a.b'],
  [`03180800${Buffer.from('a://').toString('hex')}${END}`, 'Uri(a://)'],
  [`0406140021aa2c4614760345836e8ab6f4662331${END}`, 'FvFile(462caa21-7614-4503-836e-8ab6f4662331)'],
  [`050108000100000041004200`, 'BBS(Floppy,)…'],
  [`7f01040002010c00d041030a00000000${END}`, ',PciRoot(0x0)'],
  [`66010600abcd${END}`, 'Path(102,1,abcd)'],
  ['04040000', '…'],
  ['04040300', '…'],
  ['0404ffff', '…'],
  ['0101', '…'],
  ['0101040001010500aa', 'Path(1,1)/Path(1,1,aa)'],
]

for (const [hex, text] of paths) {
  test(`the device path ${hex === '' ? 'of no bytes' : hex} is "${text}"`, () => {
    assert.equal(devicePathText(Buffer.from(hex, 'hex')), text)
  })
}

test('a device path that never ends is cut off', () => {
  assert.ok(devicePathText(Buffer.alloc(4 * 10_000, Buffer.from('66010400', 'hex'))).length < 2000)
})

test('an image load event may claim a longer path than it has', () => {
  const image = decodeImageLoad(Buffer.concat([u64(1), u64(2), u64(3), u64(1000), Buffer.from(END, 'hex')]))
  assert.equal(image?.length, 2n)
  assert.equal(image.devicePath.byteLength, 4)
  assert.equal(decodeImageLoad(Buffer.alloc(31)), undefined)
})

test('a boot option needs an end of its description and room for its path', () => {
  const option = (length: number, text: string) =>
    Buffer.concat([u32(1), u16(length), Buffer.from(text, 'utf16le'), Buffer.from(END, 'hex')])
  assert.equal(decodeBootOption(option(4, 'Disk\0'))?.description, 'Disk')
  assert.equal(decodeBootOption(option(5, 'Disk\0')), undefined)
  assert.equal(decodeBootOption(option(0, 'Disk')), undefined)
  assert.equal(decodeBootOption(Buffer.alloc(7)), undefined)
})

test('a partition table must be filled exactly by its entries', () => {
  const table = bootFile('honest', 'eventlog.bin')
  const [gpt] = parseEventLog(table).events.filter(({ pcr, type }) => pcr === 5 && type === 0x80000006)
  assert.ok(gpt)
  assert.equal(decodeGpt(gpt.data)?.partitions.length, gpt.data.readUInt32LE(92))
  for (const count of [0, 2 ** 20, 2 ** 32 - 1]) {
    const changed: Buffer = Buffer.from(gpt.data)
    changed.writeUInt32LE(count, 92)
    assert.equal(decodeGpt(changed), undefined)
  }
  assert.equal(decodeGpt(gpt.data.subarray(0, -1)), undefined)
})

test('tagged events must fill their payload', () => {
  const tags = Buffer.concat([u32(1), u32(2), Buffer.from('ab'), u32(3), u32(0)])
  assert.deepEqual(
    decodeTaggedEvents(tags)?.map(({ id, data }) => [id, data.toString()]),
    [
      [1, 'ab'],
      [3, ''],
    ],
  )
  assert.equal(decodeTaggedEvents(tags.subarray(0, -1)), undefined)
  assert.equal(decodeTaggedEvents(Buffer.concat([u32(1), u32(0xffffffff)])), undefined)
})

test('a label is text, in one of two encodings, or none', () => {
  assert.equal(labelText(Buffer.from('MokList\0')), 'MokList')
  assert.equal(labelText(Buffer.from('quiet\0', 'utf16le')), 'quiet')
  assert.equal(labelText(Buffer.from('ä\nö')), 'ä\nö')
  assert.equal(labelText(Buffer.from([1, 2, 3])), undefined)
  assert.equal(labelText(Buffer.from([0xff, 0xfe])), undefined)
  assert.equal(labelText(Buffer.alloc(4)), undefined)
})

test('what is printed cannot move the cursor or turn the text around', () => {
  assert.equal(printable('a\u001b[1m\nb\u202e'), 'a\\u001b[1m\\nb\\u202e')
  assert.equal(printable('plain'), 'plain')
})

const NODES: readonly (readonly [name: string, type: string, data: string, text: string])[] = [
  ['BMC', '0106', '01' + '0010000000000000', 'BMC(0x1,0x1000)'],
  ['expanded ACPI', '0202', 'd041030a' + '02000000' + '00000000' + '000000', 'PciRoot(0x2)'],
  ['ACPI address', '0203', '00040080', 'AcpiAdr(0x80000400)'],
  ['ATA', '0301', '01000000', 'Ata(Secondary,Master,0x0)'],
  ['SCSI', '0302', '02000100', 'Scsi(0x2,0x1)'],
  ['Fibre Channel', '0303', '00000000' + '0100000000000000' + '0200000000000000', 'Fibre(0x1,0x2)'],
  ['FireWire', '0304', '00000000' + '0100000000000000', 'I1394(0x1)'],
  ['USB', '0305', '0600', 'USB(0x6,0x0)'],
  ['MAC', '030b', '525400123456' + '00'.repeat(26) + '01', 'MAC(525400123456,0x1)'],
  [
    'IPv4',
    '030c',
    'c0a80102' + 'c0a80101' + '0000' + '0000' + '0600' + '01' + 'c0a80101' + 'ffffff00',
    'IPv4(192.168.1.1,TCP,Static,192.168.1.2)',
  ],
  [
    'IPv6',
    '030d',
    '00'.repeat(16) + '20010db8' + '00'.repeat(11) + '01' + '0000' + '0000' + '1100' + '01' + '40' + '00'.repeat(16),
    'IPv6(2001:db8:0:0:0:0:0:1,UDP,StatelessAutoConfigure)',
  ],
  ['UART', '030e', '00000000' + '00c2010000000000' + '08' + '01' + '01', 'Uart(115200,8,N,1)'],
  ['USB class', '030f', '4f0b' + '0700' + '08' + '06' + '50', 'UsbClass(0xb4f,0x7,0x8,0x6,0x50)'],
  ['LUN', '0311', '03', 'Unit(0x3)'],
  ['VLAN', '0314', '6400', 'Vlan(100)'],
  [
    'SAS',
    '0316',
    '5000000000000001' + '0000000000000000' + '0000' + '0100',
    'SasEx(0x5000000000000001,0x0000000000000000,0x1)',
  ],
  ['UFS', '0319', '0102', 'UFS(0x1,0x2)'],
  ['SD', '031a', '01', 'SD(0x1)'],
  ['Bluetooth', '031b', '010203040506', 'Bluetooth(010203040506)'],
  ['Wi-Fi', '031c', '6e6574' + '00'.repeat(29), 'Wi-Fi(net)'],
  ['eMMC', '031d', '00', 'eMMC(0x0)'],
  ['DNS', '031f', '00' + '08080808' + '00'.repeat(12), 'Dns(8.8.8.8)'],
  [
    'NVMe over Fabrics',
    '0322',
    '03' + '00112233445566778899aabbccddeeff' + Buffer.from('nqn.x\0').toString('hex'),
    'NVMEoF(nqn.x,0x3,33221100-5544-7766-8899-aabbccddeeff)',
  ],
  ['CD-ROM', '0402', '01000000' + '0200000000000000' + '0300000000000000', 'CDROM(0x1,0x2,0x3)'],
  ['relative offset', '0408', '00000000' + '0010000000000000' + '0020000000000000', 'Offset(0x1000,0x2000)'],
  [
    'RAM disk',
    '0409',
    '0010000000000000' + 'ff1f000000000000' + '5a53ab77fc454b625560f7b281d1f96e' + '0000',
    'VirtualDisk(0x1000,0x1fff,0x0)',
  ],
  ['BIOS boot', '0501', '0200' + '0000' + Buffer.from('Disk\0').toString('hex'), 'BBS(HD,Disk)'],
]

for (const [name, type, data, text] of NODES) {
  const bytes = Buffer.from(data, 'hex')
  const node = (content: Buffer) => Buffer.concat([Buffer.from(type, 'hex'), u16(4 + content.byteLength), content])

  test(`device path: ${name} is ${text}`, () => {
    assert.equal(devicePathText(Buffer.concat([node(bytes), Buffer.from(END, 'hex')])), text)
  })

  test(`device path: ${name} is read whatever is cut off`, () => {
    for (let size = 0; size < bytes.byteLength; size++)
      assert.notEqual(devicePathText(node(bytes.subarray(0, size))), '')
  })
}

test('a boot option without its first fields, as firmware of NUCs has it, is read', () => {
  const text = Buffer.from('UEFI: Stick\0', 'utf16le')
  const node = Buffer.from('0305060006 00'.replace(' ', ''), 'hex')
  const option = decodeBootOption(Buffer.concat([text, node, Buffer.from('7fff', 'hex')]))
  assert.equal(option?.description, 'UEFI: Stick')
  assert.equal(option.attributes, undefined)
  assert.equal(devicePathText(option.devicePath), 'USB(0x6,0x0)')
})

test('a boot order is no boot option', () => {
  for (const numbers of [
    [0, 1, 2, 3],
    [9, 0x11, 14, 15, 10, 11, 0, 1, 2],
    [0x20, 0x21, 0, 0x22],
  ]) {
    assert.equal(decodeBootOption(Buffer.concat(numbers.map(u16))), undefined)
  }
})
