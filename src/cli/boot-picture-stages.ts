import type { BootClaims, Claim, ListClaim } from '../eventlog/index.ts'
import { hasWindows, windowsLines } from './boot-picture-windows.ts'
import {
  certificateText,
  commonName,
  counted,
  line,
  listLine,
  shortDigest,
  unknownLine,
  type PictureLine,
} from './boot-picture-lines.ts'

export interface Stage {
  readonly name: string
  readonly lines: readonly PictureLine[]
}

/** The stages of a boot of which its log says anything, from the firmware on. */
export function stagesOf(boot: BootClaims): Stage[] {
  return [
    { name: 'Firmware', lines: firmwareLines(boot) },
    { name: 'Secure Boot', lines: secureBootLines(boot) },
    { name: 'Boot path', lines: bootPathLines(boot) },
    { name: 'Boot loader', lines: loaderLines(boot) },
    ...(hasWindows(boot)
      ? [{ name: 'Windows', lines: windowsLines(boot) }]
      : [{ name: 'Kernel', lines: kernelLines(boot) }]),
    { name: 'Root', lines: rootLines(boot) },
    { name: 'Userspace', lines: userspaceLines(boot) },
    { name: 'Launch', lines: launchLines(boot) },
    { name: 'Unexplained', lines: unreadLines(boot) },
  ].filter(({ lines }) => lines.length > 0)
}

function firmwareLines({ firmware, platform }: BootClaims): PictureLine[] {
  const { version, startupLocality, hcrtm, code, drivers, failedRegisters } = firmware
  const lines = [line('version', version, (text) => text)]
  if (startupLocality.state === 'known') {
    const processor = hcrtm.state === 'known' && hcrtm.value
    lines.push(
      line('start', startupLocality, (value) => {
        return processor ? 'measured by the processor first (H-CRTM)' : `TPM started at locality ${value}`
      }),
    )
  }
  lines.push(listLine('code', code, (items) => counted(items.length, 'measurement')))
  if (drivers.state === 'known' && drivers.value.length > 0) {
    lines.push(
      listLine('drivers', drivers, (items) => counted(items.length, 'option ROM or driver', 'option ROMs and drivers')),
    )
  }
  if (failedRegisters.state === 'known' && failedRegisters.value.length > 0) {
    lines.push(alarm('errors', `the firmware reports an error in PCR ${failedRegisters.value.join(', ')}`))
  }
  if (firmware.untrustedPlatform.state === 'known') {
    lines.push(
      line('platform', firmware.untrustedPlatform, (names) =>
        Object.entries(names)
          .map((each) => each.join(' '))
          .join(', '),
      ),
    )
  }
  return [...lines, ...announcements(platform)]
}

function announcements(platform: BootClaims['platform']): PictureLine[] {
  const lines: PictureLine[] = []
  if (platform.setupEntered.state === 'known')
    lines.push(alarm('setup', 'somebody entered the firmware’s setup screen'))
  if (platform.debugger.state === 'known') lines.push(alarm('debugger', 'UEFI debug mode is on'))
  if (platform.dmaProtection.state === 'known') lines.push(alarm('DMA', 'protection against devices is disabled'))
  const silent = [
    platform.setupEntered.state === 'unknown' ? 'setup entered' : '',
    platform.debugger.state === 'unknown' ? 'debugger' : '',
    platform.dmaProtection.state === 'unknown' ? 'DMA protection' : '',
  ].filter((each) => each !== '')
  if (silent.length > 0) lines.push(unknownLine(`not announced`, `${silent.join(', ')}: not all firmware says so`))
  return lines
}

function alarm(label: string, text: string): PictureLine {
  return { label, kind: 'bound', text, alarm: true }
}

function secureBootLines({ secureBoot, shim }: BootClaims): PictureLine[] {
  const { enabled, setupMode, auditMode, deployedMode, pk, kek, db, dbx, authorities } = secureBoot
  const state = line('state', enabled, (on) => (on ? 'on' : 'off'))
  const lines = [enabled.state === 'known' && !enabled.value ? { ...state, alarm: true } : state]
  if (setupMode.state === 'known' && setupMode.value)
    lines.push(alarm('mode', 'setup mode: anybody may change the keys'))
  if (auditMode.state === 'known' && auditMode.value) lines.push(alarm('mode', 'audit mode: nothing is refused'))
  if (deployedMode.state === 'known')
    lines.push(line('mode', deployedMode, (on) => (on ? 'deployed mode' : 'not in deployed mode')))
  const keys = [
    databaseText('PK', pk),
    databaseText('KEK', kek),
    databaseText('db', db),
    databaseText('dbx', dbx),
  ].filter((each) => each !== undefined)
  lines.push(
    keys.length === 0
      ? unknownLine('keys', pk.state === 'unknown' ? pk.reason : '')
      : { label: 'keys', kind: 'bound', text: keys.join('; '), fit: 'wrap' },
  )
  // Measured, and not to be read: what is missing from a list does not catch the eye.
  for (const each of keys.length === 0 ? [] : [pk, kek, db, dbx])
    if (each.state === 'unknown' && each.events.length > 0) lines.push(unknownLine('keys', each.reason))
  for (const each of itemsOf(authorities))
    lines.push({ label: 'verified with', kind: 'bound', text: certificateText(each) })
  for (const each of itemsOf(shim.authorities))
    lines.push({ label: 'shim verified', kind: 'bound', text: certificateText(each) })
  if (shim.sbatLevel.state === 'known')
    lines.push(line('shim SBAT', shim.sbatLevel, (text) => text.trim().replaceAll('\n', '; ')))
  if (shim.untrustedOwnerLists.state === 'known') {
    lines.push(line('owner’s lists', shim.untrustedOwnerLists, (lists) => lists.map(nameOf).join(', ')))
  }
  if (shim.validation.state === 'known' && !shim.validation.value)
    lines.push(alarm('shim', 'validation is switched off'))
  return lines
}

function nameOf({
  digest,
  untrustedDescription,
}: {
  readonly digest: string
  readonly untrustedDescription?: string
}): string {
  return `${untrustedDescription ?? ''} ${shortDigest(digest)}`
}

function databaseText(name: string, claim: BootClaims['secureBoot']['db']): string | undefined {
  if (claim.state === 'unknown') return undefined
  const { certificates, hashCount, size } = claim.value
  if (size === 0) return `${name} not set`
  const [only] = certificates
  const parts = [
    certificates.length === 1 ? (commonName(only?.subject) ?? '1 certificate') : '',
    certificates.length > 1 ? counted(certificates.length, 'certificate') : '',
    hashCount === 0 ? '' : counted(hashCount, 'hash', 'hashes'),
  ]
  return `${name} ${parts.filter((each) => each !== '').join(' and ')}`
}

function itemsOf<T>(claim: ListClaim<T>): readonly T[] {
  return claim.state === 'known' ? claim.value : []
}

/** More images than this are on no screen. */
const MAX_SHOWN = 8

function bootPathLines({ boot }: BootClaims): PictureLine[] {
  const lines = [line('boot order', boot.order, (numbers) => numbers.map(bootNumber).join(', '))]
  const images = itemsOf(boot.images)
  if (boot.images.state === 'unknown') lines.push(unknownLine('started', boot.images.reason))
  else if (images.length === 0) lines.push({ label: 'started', kind: 'bound', text: 'no image was measured' })
  for (const { digest, attempt = 0, untrustedPath, untrustedAuthority } of images.slice(0, MAX_SHOWN)) {
    lines.push({ label: `started${attempt > 1 ? ` (try ${attempt})` : ''}`, kind: 'bound', text: shortDigest(digest) })
    if (untrustedPath !== undefined) lines.push({ label: '', kind: 'said', text: untrustedPath, fit: 'middle' })
    if (untrustedAuthority !== undefined)
      lines.push({ label: '', kind: 'said', text: `verified with ${untrustedAuthority}`, fit: 'middle' })
  }
  if (images.length > MAX_SHOWN) lines.push({ label: '', kind: 'bound', text: `and ${images.length - MAX_SHOWN} more` })
  lines.push(line('handed over', boot.exitBootServices, () => 'yes: ExitBootServices succeeded'))
  return lines
}

function bootNumber(number: number): string {
  return number.toString(16).padStart(4, '0').toUpperCase()
}

function loaderLines({ loader }: BootClaims): PictureLine[] {
  const stages = itemsOf(loader.stages)
  const lines = stages.map(({ name, basis }): PictureLine => ({ label: name, kind: 'bound', text: basis }))
  if (lines.length === 0) {
    lines.push(
      loader.untrustedName.state === 'known'
        ? line('name', loader.untrustedName, (name) => name)
        : unknownLine('name', loader.name.state === 'unknown' ? loader.name.reason : ''),
    )
  }
  if (itemsOf(loader.commands).length > 0)
    lines.push(listLine('commands', loader.commands, (texts) => counted(texts.length, 'command')))
  if (itemsOf(loader.files).length > 0)
    lines.push(listLine('files', loader.files, (files) => counted(files.length, 'file')))
  return lines
}

function kernelLines({ kernel }: BootClaims): PictureLine[] {
  const lines: PictureLine[] = []
  const differing = itemsOf(kernel.commandLines)
  if (kernel.commandLine.state === 'known' || differing.length === 0) {
    lines.push({ ...line('command line', kernel.commandLine, (text) => text), fit: 'wrap' })
  } else {
    for (const text of differing) lines.push({ label: 'command line', kind: 'bound', text, fit: 'wrap' })
    lines.push(unknownLine('', kernel.commandLine.reason))
  }
  if (kernel.untrustedKernel.state === 'known') {
    lines.push(
      line(
        'kernel',
        kernel.untrustedKernel,
        ({ digest, untrustedDescription = '' }) => `${shortDigest(digest)} ${untrustedDescription}`,
      ),
    )
  }
  for (const { digest, untrustedDescription = '' } of itemsOf(kernel.untrustedInitrds)) {
    lines.push({ label: 'initrd', kind: 'said', text: `${shortDigest(digest)} ${untrustedDescription}` })
  }
  if (kernel.ukiSections.state === 'known') {
    lines.push(listLine('UKI sections', kernel.ukiSections, (sections) => sections.map(({ name }) => name).join(' ')))
  }
  return lines
}

function rootLines({ rootfs, eve }: BootClaims): PictureLine[] {
  const row = (label: string, claim: Claim<string>) =>
    claim.state === 'known' ? [line(label, claim, (text) => text)] : []
  return [
    ...row('root=', rootfs.root),
    ...row('verity', rootfs.verityRootHash),
    ...row('verity /usr', rootfs.verityUsrHash),
    ...row('image', rootfs.imageHash),
    ...(eve.config.state === 'known'
      ? [
          line(
            'EVE /config',
            eve.config,
            (files) => `${files.filter(({ exists }) => exists).length} of ${files.length} files exist`,
          ),
        ]
      : []),
  ]
}

function userspaceLines({ userspace }: BootClaims): PictureLine[] {
  const row = (label: string, claim: ListClaim<string>) =>
    claim.state === 'known' ? [listLine(label, claim, (texts) => texts.join(', '))] : []
  return [
    ...row('phases', userspace.phases),
    ...(userspace.machineId.state === 'known' ? [line('machine id', userspace.machineId, (id) => id)] : []),
    ...row('file systems', userspace.fileSystems),
    ...row('texts', userspace.texts),
    ...(itemsOf(userspace.untrustedSecrets).length > 0
      ? [
          listLine(
            'secrets',
            userspace.untrustedSecrets,
            (items) => `${counted(items.length, 'measurement')} of what is in no log`,
          ),
        ]
      : []),
  ]
}

function launchLines({ drtm }: BootClaims): PictureLine[] {
  if (drtm.launched.state === 'unknown') return []
  return [
    listLine(
      'dynamic',
      drtm.measurements,
      (items) => `launched, ${counted(items.length, 'measurement')} of PCR 17 to 22`,
    ),
    ...(drtm.untrustedMle.state === 'known'
      ? [line('environment', drtm.untrustedMle, ({ digest }) => shortDigest(digest))]
      : []),
  ]
}

function unreadLines({ log, shim }: BootClaims): PictureLine[] {
  const shown = new Set(itemsOf(shim.untrustedOwnerLists).map(({ event }) => event))
  const items = itemsOf(log.unread).filter(({ event }) => !shown.has(event))
  if (items.length === 0) return []
  const registers = [...new Set(items.map(({ pcr }) => pcr))].sort((a, b) => a - b)
  const places = registers.map((pcr) => {
    const events = items.filter((each) => each.pcr === pcr).map(({ event }) => event)
    const first = events.slice(0, 5).join(', ')
    return `PCR ${pcr}: ${events.length === 1 ? 'event' : 'events'} ${first}${events.length > 5 ? `, … (${events.length})` : ''}`
  })
  return [{ label: 'digests', kind: 'bound', text: `${places.join('; ')} (of nothing that the log has)` }]
}
