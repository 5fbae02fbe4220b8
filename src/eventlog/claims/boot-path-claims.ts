import type { AnnotatedEvent } from '../annotate.ts'
import type { AuthorityFact, ImageFact } from '../facts/boot-facts.ts'
import { summaryOf } from '../summary.ts'
import type { BootPathClaims, ImageClaim } from './boot-claims.ts'
import { known, listed, unknown, type Gap, type ListClaim } from './claim.ts'
import { byRegister, claimOf, gapIn, listIn, measurementsOf, missing, type Reading } from './reading.ts'
import { authorityName, isOfShim } from './secure-boot-claims.ts'

/** Boot options: PCR 1, with some firmware 5. */
const OPTION_PCRS = [1, 5]

export function bootPathClaims(reading: Reading): BootPathClaims {
  const { bootOptions, bootAttempts, exitBootServices, partitionTables } = reading.facts
  const images = imageClaims(reading)
  const options = byRegister(bootOptions.options)
  const attempts = bootAttempts.map(({ event }) => event.index)
  return {
    attempts:
      attempts.length === 0
        ? missing(reading, [4], 'the firmware announced no boot attempt')
        : known(attempts.length, attempts),
    order: claimOf(
      bootOptions.order,
      ({ numbers, event }) => known(numbers, [event.index]),
      () => missing(reading, OPTION_PCRS, 'no BootOrder stands where only the firmware can have put it'),
    ),
    options: listIn(
      reading,
      OPTION_PCRS,
      options.map(({ description, path, event }) => ({ description, path, event: event.index })),
      options.map(({ event }) => event.index),
      gapIn(reading, OPTION_PCRS),
    ),
    images: listIn(reading, [4], images, indices(images), mixed(reading)),
    bootedImages: bootedImages(reading, images),
    exitBootServices: claimOf(
      exitBootServices,
      ({ event }) => known(true, [event.index]),
      () => missing(reading, [5], 'the log has no success of ExitBootServices, and some firmware leaves it out'),
    ),
    partitionTables: listIn(
      reading,
      [5],
      partitionTables.map(({ disk, partitions, event }) => ({ disk, partitions, event: event.index })),
      partitionTables.map(({ event }) => event.index),
      gapIn(reading, [5]),
    ),
  }
}

/** What an RTMR has beside images. */
function mixed({ kind }: Reading): Gap | undefined {
  if (kind === 'pcr') return undefined
  return { reason: 'one RTMR holds PCR 2 to 6, so some of these may be drivers or settings', events: [] }
}

function indices(images: readonly ImageClaim[]): number[] {
  return images.map(({ event }) => event)
}

/** What is in the image register, with the path that the log gives and the authority that it shows next to it. */
function imageClaims(reading: Reading): ImageClaim[] {
  const { bootApplications, secureBoot, shim } = reading.facts
  const wanted = new Set(bootApplications.map(({ event }) => event.index))
  const byIndex = new Map<number, AnnotatedEvent>()
  for (const annotated of measurementsOf(reading, 4)) {
    if (wanted.has(annotated.event.index)) byIndex.set(annotated.event.index, annotated)
  }
  const ordered = isOrdered(reading)
  const shimStart = Math.min(...[shim.sbatLevel, shim.mokListTrusted].map((fact) => fact?.event.index ?? Infinity))
  const authorities = authoritiesBeside(bootApplications, secureBoot.authorities, shimStart)
  return bootApplications.map(({ digest, attempt, event }) => {
    const annotated = byIndex.get(event.index)
    const path = annotated === undefined ? '' : summaryOf(annotated)
    const authority = authorities.get(event.index)
    return {
      digest,
      ...(ordered ? { attempt } : { untrustedAttempt: attempt }),
      event: event.index,
      ...(path === '' ? {} : { untrustedPath: path }),
      ...(authority === undefined ? {} : { untrustedAuthority: authority }),
    }
  })
}

/**
 * Firmware measures what verified an image just before the image; shim, as it is older or newer, behind or before it; and
 * all only the first time. So an authority speaks for the image next to it, and for others nothing is said. Both lists
 * are in the order of the log, which is not measured between registers.
 */
function authoritiesBeside(
  images: readonly ImageFact[],
  authorities: readonly AuthorityFact[],
  shimStart: number,
): ReadonlyMap<number, string> {
  const beside = new Map<number, string>()
  let next = 0
  for (const authority of authorities) {
    const { index } = authority.event
    while ((images[next]?.event.index ?? Infinity) < index) next++
    const before = images[next - 1]
    const byShim = isOfShim(authority) || shimStart < index
    const image = byShim && before !== undefined && !beside.has(before.event.index) ? before : images[next]
    if (image !== undefined && !beside.has(image.event.index)) beside.set(image.event.index, authorityName(authority))
  }
  return beside
}

/** Where attempts are announced in another register than images are measured in, nothing binds their order. */
function isOrdered({ facts: { bootAttempts, bootApplications } }: Reading): boolean {
  return bootAttempts.every(({ event }) => event.pcr === bootApplications[0]?.event.pcr)
}

/** The images of the last attempt: only ExitBootServices shows that it was not given up. */
function bootedImages(reading: Reading, images: readonly ImageClaim[]): ListClaim<ImageClaim> {
  const { exitBootServices, bootAttempts } = reading.facts
  if (exitBootServices === undefined) {
    return missing(reading, [4], 'without ExitBootServices nothing shows that the last image was booted')
  }
  const [first] = images
  if (first === undefined) return missing(reading, [4], 'no image was measured')
  const ordered = isOrdered(reading)
  if (!ordered && images.length > 1) {
    return unknown('boot attempts were announced in another register than the images: their order is not measured')
  }
  const booted = ordered ? images.filter(({ attempt }) => attempt === bootAttempts.length) : images
  return booted.length === 0
    ? unknown('no image was measured in the last boot attempt')
    : listed(booted, [...indices(booted), exitBootServices.event.index], mixed(reading))
}
