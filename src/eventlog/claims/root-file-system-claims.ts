import type { EveClaims, RootFileSystemClaims } from './boot-claims.ts'
import { known, unknown, type Claim } from './claim.ts'
import { parameters } from './parameters.ts'
import { gapIn, listIn, missing, type Reading } from './reading.ts'

const HASH = /^[0-9a-f]{40,128}$/

export function rootFileSystemClaims(reading: Reading, commandLine: Claim<string>): RootFileSystemClaims {
  const { rootfs } = reading.facts.eve
  const [first] = rootfs
  const gap = gapIn(reading, [13])
  const agreed = rootfs.every(({ hash }) => hash === first?.hash)
  const indices = rootfs.map(({ event }) => event.index)
  return {
    root: parameterClaim(commandLine, 'root'),
    verityRootHash: hashClaim(commandLine, 'roothash'),
    verityUsrHash: hashClaim(commandLine, 'usrhash'),
    imageHash:
      first === undefined
        ? missing(reading, [13], 'no boot loader measured a file system image')
        : agreed && gap === undefined
          ? known(first.hash, indices)
          : unknown(gap?.reason ?? 'more than one was measured, and they differ', gap?.events ?? indices),
  }
}

/** The one value of a parameter: programs differ in whether the first or the last of several counts. */
function parameterClaim(commandLine: Claim<string>, name: string): Claim<string> {
  if (commandLine.state === 'unknown') return commandLine
  const values = [...new Set(parameters(commandLine.value, name))]
  const [value] = values
  if (value === undefined) return unknown(`the command line has no ${name}=`, commandLine.events)
  return values.length === 1
    ? known(value, commandLine.events)
    : unknown(`the command line has ${name}= more than once`, commandLine.events)
}

/** dm-verity in the table that ChromeOS passes, and in that of the kernel's own dm-mod.create. */
const VERITY_TABLES = [
  /\broot_hexdigest=([0-9a-f]{40,128})\b/g,
  /\bverity \d+ \S+ \S+ \d+ \d+ \d+ \d+ \S+ ([0-9a-f]{40,128})\b/g,
]

/** A root hash by its own parameter, else in the one table of dm-verity that is passed whole. */
function hashClaim(commandLine: Claim<string>, name: string): Claim<string> {
  const claim = parameterClaim(commandLine, name)
  if (claim.state === 'known') {
    const hash = claim.value.toLowerCase()
    return HASH.test(hash) ? known(hash, claim.events) : unknown(`${name}= is no hash`, claim.events)
  }
  if (commandLine.state === 'unknown' || name !== 'roothash') return claim
  const tables = ['dm', 'dm-mod.create'].flatMap((table) => parameters(commandLine.value, table))
  const found = tables.flatMap((table) =>
    VERITY_TABLES.flatMap((pattern) => [...table.matchAll(pattern)].map(([, hash]) => hash ?? '')),
  )
  const [hash] = found
  return hash === undefined || found.length > 1 ? claim : known(hash, commandLine.events)
}

export function eveClaims(reading: Reading): EveClaims {
  const files = reading.facts.eve.config
  return {
    config:
      files.length === 0
        ? missing(reading, [14], 'no file of EVE’s configuration was measured')
        : listIn(
            reading,
            [14],
            files.map(({ event, ...file }) => ({ ...file, event: event.index })),
            files.map(({ event }) => event.index),
            gapIn(reading, [14]),
          ),
  }
}
