import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import test from 'node:test'
import { parse } from 'yaml'
import { boundClaims } from '../../../src/eventlog/claims/bound-claims.ts'
import type { KeyDatabaseClaim } from '../../../src/eventlog/claims/boot-claims.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../../fixtures/shared-data.ts'
import { ovmfFile, realLogs } from '../logs.ts'
import { claimsOf, realClaims, valueOf } from './every-claim.ts'

const real = { skip: SKIP_WITHOUT_SHARED_DATA }

interface OtherVariable {
  readonly PCRIndex: string
  readonly EventType: string
  readonly Event?: { readonly UnicodeName?: string; readonly VariableData?: string }
}

/** Variables of a log as tpm2_eventlog reads them, value in hex; `undefined` where it fails, as it does on some. */
function variablesOf(name: string): readonly (readonly [pcr: number, name: string, value: Buffer])[] | undefined {
  const run = spawnSync('tpm2_eventlog', [sharedData(`eventlogs/${name}.bin`)], {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    timeout: 60_000,
  })
  if (run.error !== undefined) throw run.error
  if (run.status !== 0) return undefined
  const { events } = parse(run.stdout, { schema: 'failsafe', uniqueKeys: false }) as { readonly events: unknown }
  // Nothing, of logs that it cannot read.
  if (!Array.isArray(events)) return undefined
  return (events as readonly OtherVariable[]).flatMap(({ PCRIndex, EventType, Event }) =>
    Event?.UnicodeName === undefined || typeof Event.VariableData !== 'string' || EventType.endsWith('AUTHORITY')
      ? []
      : [[Number(PCRIndex), Event.UnicodeName, Buffer.from(Event.VariableData, 'hex')] as const],
  )
}

/** Certificates and hashes of an EFI_SIGNATURE_LIST chain, by the sizes alone: UEFI 2.10 section 32.4.1. */
function entriesOf(value: Buffer): Buffer[] {
  const entries: Buffer[] = []
  for (let at = 0; at < value.byteLength; at += value.readUInt32LE(at + 16)) {
    const size = value.readUInt32LE(at + 24)
    const end = at + value.readUInt32LE(at + 16)
    for (let entry = at + 28 + value.readUInt32LE(at + 20); entry < end; entry += size) {
      entries.push(value.subarray(entry + 16, entry + size))
    }
  }
  return entries
}

function assertDatabase(name: string, claim: KeyDatabaseClaim, value: Buffer): void {
  assert.equal(claim.size, value.byteLength, name)
  const entries = entriesOf(value)
  const certificates = entries.filter(({ byteLength }) => byteLength > 100)
  assert.equal(claim.certificates.length, certificates.length, name)
  assert.deepEqual(
    claim.hashes,
    entries.filter(({ byteLength }) => byteLength <= 100).map((hash) => hash.toString('hex')),
    name,
  )
  for (const [at, der] of certificates.entries()) {
    let certificate: X509Certificate
    try {
      certificate = new X509Certificate(der)
    } catch {
      // OpenSSL refuses some that firmware has.
      continue
    }
    assert.equal(
      claim.certificates[at]?.fingerprint,
      certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
      name,
    )
    const [, commonName] = /^CN=(.*)$/m.exec(certificate.subject) ?? []
    assert.ok(commonName === undefined || claim.certificates[at].subject?.includes(`CN=${commonName}`), name)
  }
}

test('Secure Boot and its databases are what tpm2_eventlog and OpenSSL read of the same logs', real, () => {
  let compared = 0
  for (const name of realLogs()) {
    const variables = variablesOf(name)
    if (variables === undefined) continue
    const { secureBoot, boot } = realClaims(name)
    for (const [pcr, variable, value] of variables) {
      if (pcr !== 7) continue
      if (variable === 'SecureBoot' && value[0] === 0) assert.equal(valueOf(secureBoot.enabled), false, name)
      if (variable === 'SecureBoot' && value[0] === 1) assert.equal(valueOf(secureBoot.enabled), true, name)
      if (variable === 'SecureBoot' && value.byteLength === 0) assert.equal(secureBoot.enabled.state, 'unknown', name)
      if (variable === 'PK') assert.equal(valueOf(secureBoot.setupMode), value.byteLength === 0, name)
      if (variable === 'AuditMode') assert.equal(valueOf(secureBoot.auditMode), value[0] === 1, name)
      if (variable === 'DeployedMode') assert.equal(valueOf(secureBoot.deployedMode), value[0] === 1, name)
      for (const [of, claim] of [
        ['PK', secureBoot.pk],
        ['KEK', secureBoot.kek],
        ['db', secureBoot.db],
        ['dbx', secureBoot.dbx],
      ] as const) {
        if (of !== variable) continue
        assertDatabase(`${name} ${of}`, valueOf(claim), value)
        compared += 1
      }
    }
    const order = variables.find(([, variable]) => variable === 'BootOrder')?.[2]
    if (order !== undefined) {
      const numbers = Array.from({ length: order.byteLength / 2 }, (_, at) => order.readUInt16LE(2 * at))
      assert.deepEqual(valueOf(boot.order), numbers, name)
    }
  }
  assert.ok(compared > 40, `${compared}`)
})

test('of EVE’s machine before and after somebody changed it, these bound claims differ', real, () => {
  const [good, tampered] = [realClaims('eve-x64-good'), realClaims('eve-x64-tampered')]
  const [before, after] = [boundClaims(good), boundClaims(tampered)]
  const differing = Object.entries(before).flatMap(([group, leaves]) => {
    const names = new Set([...Object.keys(leaves), ...Object.keys(after[group] ?? {})])
    return [...names]
      .filter((name) => JSON.stringify(leaves[name]) !== JSON.stringify(after[group]?.[name]))
      .map((name) => `${group}.${name}`)
  })
  assert.deepEqual(differing, [
    'platform.actions',
    'platform.setupEntered',
    'boot.order',
    'loader.commands',
    'kernel.commandLines',
    'kernel.commandLine',
    'eve.config',
    'log.unread',
  ])
  assert.equal(good.platform.setupEntered.state, 'unknown')
  assert.equal(valueOf(tampered.platform.setupEntered), true)
  assert.equal(valueOf(tampered.kernel.commandLine).replace(/ getty test$/, ''), valueOf(good.kernel.commandLine))
  const changed = valueOf(good.eve.config)
    .filter(({ path, contentHash }) => {
      return valueOf(tampered.eve.config).find((file) => file.path === path)?.contentHash !== contentHash
    })
    .map(({ path }) => path)
  assert.deepEqual(changed, ['/config/authorized_keys', '/config/grub.cfg'])
  assert.equal(valueOf(good.rootfs.imageHash), '68953e07c66447be74ad5766ff26d79fdc83cb222e54003ad258c7a88309858b')
  assert.equal(valueOf(good.rootfs.root), 'PARTUUID=ad6871ee-31f9-4cf3-9e09-6f7a25c30052')
  assert.equal(good.kernel.untrustedKernel.bound, false)
})

for (const [log, name] of [
  ['arch-workstation', 'systemd-boot'],
  ['debian-vm', 'grub'],
  ['dell-laptop', 'windows-bootmgr'],
  ['eve-arm64', 'eve-grub'],
  ['eve-x64-good', 'eve-grub'],
  ['gce-cos101', 'grub'],
  ['hcrtm-sm3', 'grub'],
  ['keylime-secureboot', 'grub'],
  ['supermicro-server', 'grub'],
  ['systemd-boot-fedora37', 'systemd-boot'],
  ['thinkpad-p51-windows', 'windows-bootmgr'],
  ['windows-option-rom-sha1', 'windows-bootmgr'],
] as const) {
  test(`the boot loader of ${log} is ${name}`, real, () => {
    const { loader } = realClaims(log)
    assert.equal(valueOf(loader.name), name)
    assert.ok(valueOf(loader.stages).some((stage) => stage.name === name && stage.basis !== ''))
  })
}

test(
  'firmware that measures no boot loader’s texts leaves the loader unknown, and its paths are only said',
  real,
  () => {
    const { loader } = realClaims('nuc-uefi-sha1')
    assert.equal(loader.name.state, 'unknown')
    assert.equal(loader.untrustedName.bound, false)
    assert.equal(valueOf(loader.untrustedName), 'shim')
  },
)

test('the Secure Boot of Keylime’s machine: keys, authorities and shim apart', real, () => {
  const { secureBoot, shim, boot } = realClaims('keylime-secureboot')
  assert.equal(valueOf(secureBoot.enabled), true)
  assert.match(valueOf(secureBoot.pk).certificates[0]?.subject ?? '', /CN=Red Hat Secure Boot \(PK\/KEK key 1\)/)
  assert.equal(valueOf(secureBoot.dbx).hashCount, 371)
  assert.deepEqual(
    valueOf(secureBoot.authorities).map(({ name, certificate }) => [name, certificate?.subject?.split('CN=')[1]]),
    [['db', 'Microsoft Corporation UEFI CA 2011']],
  )
  assert.equal(valueOf(secureBoot.authoritiesInDb), true)
  assert.deepEqual(
    valueOf(shim.authorities).map(({ name }) => name),
    ['vendor_db'],
  )
  assert.equal(valueOf(shim.sbatLevel), 'sbat,1,2023012900\nshim,2\ngrub,3\ngrub.debian,4\n')
  assert.deepEqual(
    valueOf(shim.untrustedOwnerLists).map(({ untrustedDescription }) => untrustedDescription),
    ['MokList', 'MokListX', 'MokListTrusted'],
  )
  const [first, second] = valueOf(boot.images)
  assert.match(first?.untrustedPath ?? '', /shimx64\.efi$/)
  assert.match(first?.untrustedAuthority ?? '', /^db: .*CN=Microsoft Corporation UEFI CA 2011$/)
  assert.match(second?.untrustedAuthority ?? '', /^vendor_db: .*CN=Red Hat Secure Boot CA 5/)
  assert.equal(valueOf(boot.bootedImages).length, 3)
})

test(
  'an authority is shown at the image next to it: before it by firmware and newer shims, behind it by older ones',
  real,
  () => {
    const authorities = (name: string) =>
      valueOf(realClaims(name).boot.images).map(({ untrustedAuthority }) => untrustedAuthority?.split(':')[0])
    assert.deepEqual(authorities('debian-vm'), [undefined, 'db', 'MokList', 'MokList'])
    assert.deepEqual(authorities('dell-laptop'), [undefined, 'db'])
    assert.deepEqual(authorities('gce-cos101'), ['db', 'db', undefined, undefined])
    assert.deepEqual(authorities('supermicro-server'), ['db', 'Shim', 'Shim'])
  },
)

test('an H-CRTM sequence is seen in how PCR 0 begins', real, () => {
  const { firmware } = realClaims('hcrtm-sm3')
  assert.equal(valueOf(firmware.hcrtm), true)
  assert.equal(valueOf(firmware.startupLocality), 4)
  assert.equal(valueOf(realClaims('eve-x64-good').firmware.startupLocality), 3)
  assert.equal(valueOf(realClaims('eve-x64-good').firmware.hcrtm), false)
})

test('a log without ExitBootServices has images and no booted ones', real, () => {
  const { boot } = realClaims('supermicro-server')
  assert.equal(valueOf(boot.images).length, 3)
  assert.equal(boot.exitBootServices.state, 'unknown')
  assert.equal(boot.bootedImages.state, 'unknown')
})

test('what the firmware started before it called a boot option was not booted', real, () => {
  const { boot } = realClaims('dell-laptop')
  assert.deepEqual(
    valueOf(boot.images).map(({ attempt }) => attempt),
    [0, 1],
  )
  assert.equal(valueOf(boot.bootedImages).length, 1)
})

test('boot attempts that are announced in PCR 5 say nothing that is bound on images in PCR 4', real, () => {
  const [image] = valueOf(realClaims('windows-option-rom-sha1').boot.images)
  assert.equal(image?.attempt, undefined)
  assert.equal(image?.untrustedAttempt, 1)
})

test('the root hash of dm-verity is read from tables in the command line', real, () => {
  assert.equal(
    valueOf(realClaims('gce-cos101').rootfs.verityRootHash),
    '48d436350a7e83bde985cd3f7e79fa443557743b42243803ce31104ca4719c5d',
  )
})

test('a log of RTMRs has the same claims, and says where a shared register leaves something open', real, () => {
  const { secureBoot, kernel, loader, firmware, boot, log, platform } = realClaims('ccel-tdx-cos113')
  assert.equal(valueOf(secureBoot.enabled), false)
  assert.equal(valueOf(boot.exitBootServices), true)
  assert.deepEqual(valueOf(boot.order), [1, 0])
  assert.deepEqual(valueOf(platform.actions).length, 3)
  assert.match(valueOf(kernel.commandLines)[0] ?? '', /^\/syslinux\/vmlinuz\.A /)
  assert.equal(kernel.commandLine.state, 'unknown')
  assert.deepEqual(
    valueOf(loader.stages).map(({ name }) => name),
    ['shim', 'grub'],
  )
  for (const claim of [kernel.commandLines, loader.commands, loader.files, boot.images]) {
    assert.ok(claim.state === 'known' && !claim.complete)
  }
  for (const claim of [firmware.code, firmware.drivers, firmware.startupLocality, log.unread]) {
    assert.equal(claim.state, 'unknown')
  }
})

test(
  'a kernel that the firmware started itself: shim and GRUB unknown, and what the kernel measured only named',
  real,
  () => {
    const { loader, kernel, secureBoot } = claimsOf(ovmfFile('direct-kernel', 'eventlog.bin'))
    assert.equal(loader.name.state, 'unknown')
    assert.equal(valueOf(loader.untrustedName), 'linux-efi-stub')
    assert.equal(kernel.commandLine.state, 'unknown')
    assert.equal(valueOf(kernel.untrustedInitrds).length, 1)
    assert.equal(valueOf(secureBoot.enabled), false)
  },
)
