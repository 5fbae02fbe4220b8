import type { BootClaims, Claim } from '../eventlog/index.ts'
import { counted, line, listLine, unknownLine, type PictureLine } from './boot-picture-lines.ts'

type Windows = BootClaims['windows']

export function hasWindows({ loader }: BootClaims): boolean {
  return loader.name.state === 'known' && loader.name.value === 'windows-bootmgr'
}

/** Claims, and what each is to be on a machine that runs as it should. */
const FLAGS: readonly (readonly [label: string, claim: (windows: Windows) => Claim<boolean>, good: boolean])[] = [
  ['boot debugging', (windows) => windows.bootDebugging, false],
  ['kernel debugging', (windows) => windows.kernelDebugging, false],
  ['hypervisor debugging', (windows) => windows.hypervisorDebugging, false],
  ['test signing', (windows) => windows.testSigning, false],
  ['flight signing', (windows) => windows.flightSigning, false],
  ['safe mode', (windows) => windows.safeMode, false],
  ['Windows PE', (windows) => windows.winPe, false],
  ['code integrity', (windows) => windows.codeIntegrity, true],
]

export function windowsLines({ windows }: BootClaims): PictureLine[] {
  const states = FLAGS.map(([label, of, good]) => ({ label, claim: of(windows), good }))
  const words = (value: boolean): string[] =>
    states.filter(({ claim }) => claim.state === 'known' && claim.value === value).map(({ label }) => label)
  const wrong = states.some(({ claim, good }) => claim.state === 'known' && claim.value !== good)
  const lines: PictureLine[] = []
  if (words(true).length > 0) lines.push({ label: 'on', kind: 'bound', text: words(true).join(', '), alarm: wrong })
  if (words(false).length > 0) lines.push({ label: 'off', kind: 'bound', text: words(false).join(', ') })
  const open = states.filter(({ claim }) => claim.state === 'unknown')
  const [first] = open
  if (first?.claim.state === 'unknown') {
    lines.push(unknownLine('not known', `${open.map(({ label }) => label).join(', ')}: ${first.claim.reason}`))
  }
  if (windows.vsmRequired.state === 'known') {
    lines.push(line('secure mode', windows.vsmRequired, (required) => (required ? 'required' : 'not required')))
  } else if (windows.vsmLaunchType.state === 'known') {
    lines.push(line('secure mode', windows.vsmLaunchType, (type) => (type === 0 ? 'off' : `launch type ${type}`)))
  }
  if (windows.elamDrivers.state === 'known')
    lines.push(listLine('anti-malware', windows.elamDrivers, (names) => names.join(', ')))
  if (windows.modules.state === 'known')
    lines.push(listLine('modules', windows.modules, (modules) => counted(modules.length, 'module')))
  return lines
}
