import { orderText } from '../boot-order.ts'
import { describeChange, textsOf } from '../difference.ts'
import type { Difference } from '../difference.ts'
import { isOlder, isWithdrawn, releaseText } from '../known-release.ts'
import { named, subjects, summaries } from '../pattern.ts'
import type { Pattern, Sight } from '../pattern.ts'
import type { Scene } from '../scene.ts'

// From which device what was started: PCR 1, 4 and 5, and what a release replaces in 4, 9, 11 and 13.

const ORDER: Sight = { what: 'BootOrder', registers: [1, 5], kinds: ['boot-order'] }
const OPTION: Sight = { what: 'boot options', registers: [1, 5], kinds: ['boot-option'] }
const ATTEMPT: Sight = {
  what: 'actions on boot attempts',
  registers: [4, 5],
  kinds: ['action'],
}
const PARTITIONS: Sight = { what: 'the partition table', registers: [5], kinds: ['partitions'] }
const IMAGES: Sight = { what: 'images', registers: [4], kinds: ['image', 'other'] }

/** An image whose path, by what the log says, is on such a device, where the old one's was not. */
function startedFrom(what: string, device: RegExp): Sight {
  return {
    ...IMAGES,
    what,
    changes: ['added', 'changed'],
    where: ({ before, after }) => device.test(after?.summary ?? '') && !device.test(before?.summary ?? ''),
  }
}

/** What is measured by digest, and what a release replaces. */
const RELEASED: Sight = {
  what: 'boot loaders, kernels, initrds, unified kernel images and root file systems (PCR 4, 9, 11, 13)',
  registers: [4, 9, 11, 13],
  kinds: ['image', 'other'],
}

const ROOTFS: Sight = {
  what: 'the root file system that EVE’s boot loader measured',
  registers: [13],
  changes: ['changed'],
  subject: /^root file system$/,
  bound: true,
}

/** `hd0,gpt2`, `(hd1,gpt3)`, PARTUUIDs: where A and B differ whatever is in them; and the title of the menu’s entry. */
function withoutPlaces(text: string): string {
  return text
    .replaceAll(/gpt\d+/g, 'gptN')
    .replaceAll(/[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/gi, 'GUID')
    .replace(/^(grub_cmd: )?(menuentry|setparams) Boot \S+/, '$1$2 Boot')
}

/** What flips from A to B by itself: attributes of partitions, and commands that name the other one. */
const OTHER_HALF: readonly Sight[] = [
  {
    what: 'GPT, only attributes',
    registers: [5],
    kinds: ['partitions'],
    where: isAttributesOnly,
  },
  {
    what: 'texts of the boot loader that differ only in partition, PARTUUID, or the title of the menu’s entry',
    registers: [8],
    kinds: ['text'],
    bound: true,
    where: (difference, scene) => ofOtherHalf(scene).has(difference),
  },
]

const otherHalves = new WeakMap<Scene, ReadonlySet<Difference>>()

/** Once for each scene: texts that changed only so, and pairs of a text that is gone and one that is new. O(texts). */
function ofOtherHalf(scene: Scene): ReadonlySet<Difference> {
  const known = otherHalves.get(scene)
  if (known !== undefined) return known
  const found = new Set<Difference>()
  const gone = new Map<string, Difference[]>()
  const texts = scene.differences.filter(({ kind, bound, register }) => kind === 'text' && bound && register === 8)
  for (const difference of texts) {
    const { before, after } = textsOf(difference)
    const isSame = difference.words.length > 0 && withoutPlaces(before) === withoutPlaces(after)
    if (difference.change === 'changed' && isSame) found.add(difference)
    if (difference.change === 'removed') queue(gone, withoutPlaces(before), difference)
  }
  for (const difference of texts) {
    const { after } = textsOf(difference)
    // Of a summary that was cut nobody sees the end.
    if (difference.change !== 'added' || after.endsWith('…')) continue
    const partner = gone.get(withoutPlaces(after))?.pop()
    if (partner !== undefined) found.add(difference).add(partner)
  }
  otherHalves.set(scene, found)
  return found
}

function queue(queues: Map<string, Difference[]>, key: string, difference: Difference): void {
  const waiting = queues.get(key)
  if (waiting === undefined) queues.set(key, [difference])
  else waiting.push(difference)
}

function isAttributesOnly({ kind, fields, added, removed, change }: Difference): boolean {
  return (
    kind === 'partitions' &&
    change === 'changed' &&
    added.length === 0 &&
    removed.length === 0 &&
    fields.length > 0 &&
    fields.every(({ name }) => name.endsWith(' attributes'))
  )
}

/** Known now, in good standing, and not older than what was there. */
function isUpdate({ after, before }: Difference, { release }: Scene): boolean {
  const now = release(after)
  if (now === undefined || isWithdrawn(now)) return false
  const then = release(before)
  return then === undefined || !isOlder(now, then)
}

/** Known now as withdrawn, or as older than what was there; what was withdrawn already is no step back. */
function isDowngrade({ after, before }: Difference, { release }: Scene): boolean {
  const [now, then] = [release(after), release(before)]
  if (now === undefined) return false
  if (then !== undefined && isOlder(now, then)) return true
  return isWithdrawn(now) && (then === undefined || !isWithdrawn(then))
}

function releases({ release }: Scene, differences: readonly Difference[], side: 'before' | 'after' = 'after'): string {
  return named(
    differences.flatMap((difference) => {
      const known = release(difference[side])
      return known === undefined ? [] : [releaseText(known)]
    }),
    3,
  )
}

/** Known only as something else than active: then the verdict waits for a person. */
function waiting({ release }: Scene, differences: readonly Difference[]): string {
  const isActive = differences.every(({ after }) => release(after)?.state === 'active')
  return isActive ? '' : ' It is not released for every node yet.'
}

export const BOOT_PATH_PATTERNS: readonly Pattern[] = [
  {
    id: 'boot.order',
    sentence: 'The boot order changed: {order}.',
    see: [{ ...ORDER, bound: true, changes: ['changed', 'added', 'removed'] }],
    with: [OPTION],
    tell: (_, { differences: [order = []] }) => ({ order: orderText(order) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Ask who changed it (efibootmgr, an installer, the firmware after a stick was plugged in). Allow the new order in boot.order, or set the old one back.',
    example: 'An installer put its own entry first.',
  },
  {
    id: 'boot.option-added',
    sentence: 'There is something new that the firmware may boot: {options}.',
    see: [{ ...OPTION, what: 'a boot option, new', changes: ['added'] }],
    tell: (_, { differences: [options = []] }) => ({ options: summaries(options) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Ask who plugged in a stick or disk, or ran an installer; delete the option (efibootmgr -B) if it does not belong there.',
    example: 'A USB stick was in the machine when it started.',
  },
  {
    id: 'boot.option-removed',
    sentence: 'Something that the firmware could boot is gone: {options}.',
    see: [{ ...OPTION, what: 'a boot option, gone', changes: ['removed'] }],
    tell: (_, { differences: [options = []] }) => ({ options: summaries(options) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Ask who took out a stick or disk, or whether one failed; learn boot.options again if it is to stay so.',
    example: 'A USB stick that was there when the policy was learned was taken out.',
  },
  {
    id: 'boot.option-changed',
    sentence: 'A boot option changed: {options}.',
    see: [{ ...OPTION, what: 'a boot option, changed or moved' }],
    tell: (_, { differences: [options = []] }) => ({ options: named(options.map(describeChange), 3) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Compare path and arguments below with what the installer writes; another file or argument there starts something else.',
    example: 'The entry of the operating system points to another file.',
  },
  {
    id: 'firmware.settings',
    sentence: 'Settings of the firmware changed (PCR 1): {subjects}.',
    see: [
      {
        what: 'anything else in PCR 1',
        registers: [1],
        changes: ['added', 'removed', 'changed'],
        kinds: ['variable', 'other', 'settings', 'text', 'action'],
      },
    ],
    tell: (_, { differences: [settings = []] }) => ({ subjects: subjects(settings) }),
    confidence: 'likely',
    concern: 'check',
    next: 'Ask who changed a setting, or exchanged a part (memory, disks show in SMBIOS tables). Learn PCR 1 again if it is to stay.',
    example: 'Hyper-threading was switched off; a memory module was replaced.',
  },
  {
    id: 'boot.from-usb',
    sentence: 'The machine started from USB or a removable disc: {images}.',
    see: [startedFrom('an image with USB( or CDROM( in its path, new', /(?:USB|UsbWwid|UsbClass|CDROM)\(/i)],
    with: [PARTITIONS, ATTEMPT, { ...IMAGES, what: 'other images' }],
    tell: (_, { differences: [images = []] }) => ({ images: summaries(images, 2) }),
    confidence: 'likely',
    concern: 'attack',
    next: 'Find out who was at the machine, and take the stick out. Whatever it started had the disk to itself: compare the next boot from disk with a release, or reinstall.',
    example: 'A live system on a stick.',
  },
  {
    id: 'boot.from-network',
    sentence: 'The machine started from the network: {images}.',
    see: [startedFrom('an image with MAC(, IPv4(, IPv6( or Uri( in its path, new', /(?:MAC|IPv4|IPv6|Uri)\(/i)],
    with: [PARTITIONS, ATTEMPT, { ...IMAGES, what: 'other images' }],
    tell: (_, { differences: [images = []] }) => ({ images: summaries(images, 2) }),
    confidence: 'likely',
    concern: 'attack',
    next: 'See which DHCP and TFTP or HTTP server answered, and whether network boot belongs to this node. Otherwise switch it off in the firmware setup.',
    example: 'The disk failed, and the firmware went on with PXE.',
  },
  {
    id: 'disk.replaced',
    sentence: 'Another disk is booted: {disks}.',
    see: [
      {
        ...PARTITIONS,
        what: 'the GPT of another disk',
        bound: true,
        where: ({ fields }) => fields.some(({ name }) => name === 'disk'),
      },
    ],
    with: [{ ...PARTITIONS, what: 'further partition tables' }],
    tell: (_, { differences: [tables = []] }) => {
      const disks = tables.flatMap(({ fields }) => fields.filter(({ name }) => name === 'disk'))
      return {
        disks: named(
          disks.map(({ before, after }) => `${before ?? 'none'} → ${after ?? 'none'}`),
          2,
        ),
      }
    },
    confidence: 'likely',
    concern: 'check',
    next: 'Ask whether the disk was replaced or reinstalled, and learn boot.partitionTables again if so. The old disk may be in somebody’s hands.',
    example: 'A technician exchanged a worn-out SSD.',
  },
  {
    id: 'release.a-b-update',
    sentence: 'The node was updated from one half to the other, to a known release: {release}.{waiting}',
    see: [
      {
        ...ROOTFS,
        what: `${ROOTFS.what}, now one that a reference knows as active, canary or candidate`,
        where: isUpdate,
      },
    ],
    with: [...OTHER_HALF, { ...RELEASED, what: 'everything else that a reference knows as released', where: isUpdate }],
    tell: (scene, { differences: [roots = []] }) => ({
      release: releases(scene, roots),
      waiting: waiting(scene, roots),
    }),
    confidence: 'certain',
    concern: 'expected',
    next: 'Nothing, if the release was rolled out to this node. What is not of it is listed as a cause of its own. A release that is a candidate becomes good for the node once its state is active.',
    example: 'EVE installed 14.2 into IMGB and booted it.',
  },
  {
    id: 'release.rollback',
    sentence: 'The node went back to an older or withdrawn release: {release}, where it had {before}.',
    see: [
      {
        ...RELEASED,
        what: `${RELEASED.what}, now one that is deprecated or revoked, or whose label has a lower version`,
        where: isDowngrade,
      },
    ],
    with: OTHER_HALF,
    tell: (scene, { differences: [parts = []] }) => {
      const before = releases(scene, parts, 'before')
      return { release: releases(scene, parts), before: before === '' ? 'one that no reference knows' : before }
    },
    confidence: 'certain',
    concern: 'attack',
    next: 'If an update failed and the node fell back by itself, update it again and see why it failed. If nobody updated anything, an intruder put back something that is known to be vulnerable: take the node out of service.',
    example: 'A kernel whose reference was revoked last month starts again.',
  },
  {
    id: 'release.update',
    sentence: 'Updated to what the references know: {release}.{waiting}',
    see: [{ ...RELEASED, what: `${RELEASED.what}, now known as active, canary or candidate`, where: isUpdate }],
    with: OTHER_HALF,
    tell: (scene, { differences: [parts = []] }) => ({
      release: releases(scene, parts),
      waiting: waiting(scene, parts),
    }),
    confidence: 'certain',
    concern: 'expected',
    next: 'Nothing, if the update was rolled out to this node. A candidate that you approve of: set its state to active. Until then the node is not good.',
    example: 'Kernel updated to a digest that the candidate release 14.2 contains.',
  },
  {
    id: 'release.unknown-root',
    sentence: 'The root file system is another one, and no reference knows it: {hash}.',
    see: [ROOTFS],
    with: OTHER_HALF,
    tell: (_, { differences: [roots = []] }) => ({
      hash: named(roots.map(({ after }) => after?.summary.split(' ').at(-1) ?? '')),
    }),
    confidence: 'certain',
    concern: 'attack',
    next: 'Compare the hash with those of your releases (sha256 of rootfs.img). A new release: add it as a candidate. None of yours: the node runs somebody else’s system.',
    example: 'A rebuilt root file system with one file more.',
  },
  {
    id: 'disk.partition-attributes',
    sentence:
      'Attributes of partitions changed, and nothing else in the table: {partitions}. An update from one half to the other does this.',
    see: [{ ...PARTITIONS, what: 'GPT, only attributes', where: isAttributesOnly }],
    tell: (_, { differences: [tables = []] }) => ({
      partitions: named(tables.flatMap(({ fields }) => fields.map(({ name }) => name.replace(/ attributes$/, '')))),
    }),
    confidence: 'likely',
    concern: 'check',
    next: 'See whether an update was tried and fell back (then the other half is marked as bad). PCR 5 flips with every A/B update: judge it by boot.partitionTables with both tables, or not at all.',
    example: 'EVE tried the other half, and the health check failed.',
  },
  {
    id: 'disk.partitions',
    sentence: 'The partition table of the boot disk changed: {changes}.',
    see: [PARTITIONS],
    tell: (_, { differences: [tables = []] }) => ({ changes: named(tables.map(describeChange), 2) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Ask who partitioned the disk, or installed something beside. Learn boot.partitionTables again if it is to stay.',
    example: 'A partition was added for logs.',
  },
  {
    id: 'boot.loader',
    sentence: 'Another boot loader or EFI program started, which no reference knows: {images}.',
    see: [IMAGES],
    tell: (_, { differences: [images = []] }) => ({ images: named(images.map(imageText), 3) }),
    confidence: 'certain',
    concern: 'check',
    next: 'If shim, GRUB, systemd-boot or a kernel was updated, add the new digest to the references (touchstone policy learn from the file). Otherwise look at what is on the EFI system partition.',
    example: 'grubx64.efi was replaced by an update of the distribution, or by a bootkit.',
  },
  {
    id: 'boot.not-handed-over',
    sentence: 'The boot loader did not hand over to an operating system as the firmware logs it (ExitBootServices).',
    see: [
      {
        what: '“Exit Boot Services Returned with Success”, gone',
        registers: [5],
        kinds: ['action'],
        changes: ['removed'],
        where: ({ before }) => before?.summary.startsWith('Exit Boot Services') === true,
      },
    ],
    with: [ATTEMPT],
    confidence: 'possible',
    concern: 'check',
    next: 'See whether the node runs at all what it should: a kernel without its EFI stub (“linux” instead of “linuxefi” in GRUB) does this, and so does a log that ends too early.',
    example: 'The kernel was started in another way.',
  },
  {
    id: 'boot.attempts',
    sentence: 'The firmware tried to boot in other steps than last time: {actions}.',
    see: [ATTEMPT],
    tell: (_, { differences: [actions = []] }) => ({ actions: named(actions.map(describeChange), 2) }),
    confidence: 'certain',
    concern: 'check',
    next: 'A boot option failed, or another was tried before: look at the disk’s health and at the boot order.',
    example: 'The first boot option failed, and the second started.',
  },
]

function imageText(difference: Difference): string {
  const digest = difference.after?.digest ?? difference.before?.digest ?? ''
  const verb = difference.change === 'removed' ? 'gone ' : difference.change === 'moved' ? 'moved ' : ''
  return `${verb}${difference.subject} (${digest.slice(0, 16)}…)`
}
