import assert from 'node:assert/strict'
import test from 'node:test'
import { parseTcti } from '../../src/device/index.ts'

test('reads the three spellings of tpm2-tss', () => {
  const device = { kind: 'device', path: '/dev/tpmrm0', text: 'device:/dev/tpmrm0' }
  assert.deepEqual(parseTcti('device:/dev/tpmrm0'), device)
  assert.deepEqual(parseTcti('swtpm:path=/run/t/sock'), {
    kind: 'unix',
    path: '/run/t/sock',
    text: 'swtpm:path=/run/t/sock',
  })
  assert.deepEqual(parseTcti('swtpm:port=4444'), {
    kind: 'tcp',
    host: '127.0.0.1',
    port: 4444,
    text: 'swtpm:port=4444',
  })
  assert.deepEqual(parseTcti('swtpm:host=::1,port=4444'), {
    kind: 'tcp',
    host: '::1',
    port: 4444,
    text: 'swtpm:host=::1,port=4444',
  })
})

for (const text of [
  '',
  'device',
  'device:tpmrm0',
  'mssim:host=localhost',
  'libtss2-tcti-device.so:/dev/tpm0',
  'swtpm:path=relative',
  'swtpm:path=/a,port=1',
  'swtpm:path=/a,path=/b',
  'swtpm:port=0',
  'swtpm:port=65535',
  'swtpm:host=a b',
  'swtpm:colour=blue',
  `swtpm:path=/${'x'.repeat(102)}`,
]) {
  test(`refuses the TPM address ${JSON.stringify(text.slice(0, 40))}`, () => {
    assert.throws(() => parseTcti(text), { code: 'device.tcti' })
  })
}
