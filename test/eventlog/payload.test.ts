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
import { contentOf, decodeSignatureLists, ownerOf } from '../../src/eventlog/payload/signature-list.ts'
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
  [`050108000100000041004200`, 'BBS(0x1,)…'],
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
