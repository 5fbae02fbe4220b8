import assert from 'node:assert/strict'
import test from 'node:test'
import { decodeNoAction, noActionText } from '../../../src/eventlog/payload/no-action.ts'
import { guid, u16, u32, u64 } from '../build-log.ts'

const GUID = '01020304-0506-0708-090a-0b0c0d0e0f10'
const signature = (text: string): Buffer => Buffer.concat([Buffer.from(text), Buffer.alloc(16 - text.length)])
const string = (text: string): Buffer => Buffer.concat([Buffer.from([text.length + 1]), Buffer.from(`${text}\0`)])
const PLATFORM = [u32(343), guid(GUID), ...['Maker', 'Model', '1.0', 'Firm'].map(string), u32(2), string('V7')] as const
const SAID =
  `vendor 343, manifest ${GUID}, platform manufacturer Maker, platform model Model, platform version 1.0, ` +
  'firmware manufacturer Firm, firmware vendor 2, firmware version V7'
const URI = 'https://rim.example/1'

const EVENTS: readonly (readonly [string, Buffer, string])[] = [
  [
    'a startup locality',
    Buffer.concat([signature('StartupLocality'), Buffer.from([3])]),
    'StartupLocality: locality 3',
  ],
  [
    'a TCG 1.2 header',
    Buffer.concat([signature('Spec ID Event02'), u32(1), Buffer.from([22, 1, 2, 1])]),
    'Spec ID Event02: version 1.22, errata 2, platform server',
  ],
  [
    'a reference manifest',
    Buffer.concat([signature('SP800-155 Event'), u32(343), guid(GUID)]),
    `SP800-155 Event: vendor 343, manifest ${GUID}`,
  ],
  ['a platform', Buffer.concat([signature('SP800-155 Event2'), ...PLATFORM]), `SP800-155 Event2: ${SAID}`],
  [
    'where manifest and certificate are',
    Buffer.concat([
      signature('SP800-155 Event3'),
      ...PLATFORM,
      u32(1),
      u32(URI.length),
      Buffer.from(URI),
      u32(2),
      u32(3),
      Buffer.alloc(3),
    ]),
    `SP800-155 Event3: ${SAID}, reference manifest ${URI}, platform certificate 3 bytes of type 2`,
  ],
  [
    'nonces of SPDM',
    Buffer.concat([
      signature('NvIndexDynamic '),
      u16(1),
      Buffer.alloc(6),
      u64(1),
      u16(15),
      Buffer.from('SPDM CHALLENGE\0'),
      u16(0),
    ]),
    'NvIndexDynamic: index 0x01c40201, description SPDM CHALLENGE',
  ],
  ['a signature that is not known', Buffer.concat([signature('Else'), Buffer.alloc(4, 9)]), 'Else'],
]

for (const [name, data, text] of EVENTS) {
  test(`EV_NO_ACTION: reads ${name}, and no prefix of it to anything else`, () => {
    const said = decodeNoAction(data)
    assert.equal(said === undefined ? '' : noActionText(said), text)
    for (let size = 0; size < data.byteLength; size++) decodeNoAction(data.subarray(0, size))
  })
}

test('EV_NO_ACTION: a size beyond the event is not followed', () => {
  for (const size of [0xff, 0xffffffff]) {
    const locator = Buffer.concat([signature('SP800-155 Event3'), ...PLATFORM, u32(1), u32(size), Buffer.from(URI)])
    assert.equal(decodeNoAction(locator)?.fields['reference manifest'], undefined)
    assert.equal(decodeNoAction(locator)?.fields['platform model'], 'Model')
  }
  const strings = Buffer.concat([signature('SP800-155 Event2'), u32(1), guid(GUID), Buffer.from([255, 65])])
  assert.deepEqual(decodeNoAction(strings)?.fields, {})
})
