import { named, plural, subjects, summaries } from '../pattern.ts'
import type { Pattern, Sight } from '../pattern.ts'
import { orderText } from '../boot-order.ts'

// PCR 0 to 3: firmware, its settings, option ROMs, and what it announces.

const ACTIONS = [1, 2, 3, 4, 5, 6, 7]

/** The action is known by its digest, whatever the log calls it; behind the firmware's part anybody could extend it. */
function action(what: string, text: string): Sight {
  return {
    what,
    registers: ACTIONS,
    kinds: ['action'],
    changes: ['added'],
    bound: true,
    where: ({ after, stage }) => after?.summary === text && stage === 'firmware',
  }
}

const SETUP = action('the action “Entering ROM Based Setup”, new, in the firmware’s part', 'Entering ROM Based Setup')
const ORDER: Sight = { what: 'BootOrder', registers: [1, 5], kinds: ['boot-order'], bound: true }
const OPTIONS: Sight = { what: 'boot options', registers: [1, 5], kinds: ['boot-option'] }
const SETTINGS: Sight = {
  what: 'other firmware settings and tables',
  registers: [1],
  kinds: ['variable', 'other', 'settings', 'text'],
  stages: ['firmware'],
}
const CODE: Sight = {
  what: 'firmware code: blobs, volumes, contents of the S-CRTM',
  registers: [0],
  kinds: ['other', 'text', 'image', 'settings'],
}
const VERSION: Sight = {
  what: 'the firmware’s version',
  registers: [0],
  subject: /^EV_S_CRTM_VERSION$/,
}
const DEVICES: Sight = {
  what: 'drivers and option ROMs',
  registers: [2],
  kinds: ['image', 'other', 'settings', 'text'],
}

export const FIRMWARE_PATTERNS: readonly Pattern[] = [
  {
    id: 'firmware.debug-mode',
    sentence: 'The firmware runs in debug mode: whoever is at the machine can change what runs, unseen.',
    see: [action('the action “UEFI Debug Mode”, new', 'UEFI Debug Mode')],
    confidence: 'certain',
    concern: 'attack',
    next: 'Take the node out of service, switch the debugger off in the firmware setup, and find out who switched it on.',
    example: 'A serial debugger was enabled in the setup of an engineering board.',
  },
  {
    id: 'firmware.dma-protection-off',
    sentence:
      'The firmware no longer protects memory from devices (DMA): a device that is plugged in can change what runs.',
    see: [action('the action “DMA Protection Disabled”, new', 'DMA Protection Disabled')],
    confidence: 'certain',
    concern: 'attack',
    next: 'Switch DMA protection (IOMMU, VT-d, Kernel DMA Protection) on again in the firmware setup, and ask who switched it off.',
    example: 'VT-d was switched off to make an old card work.',
  },
  {
    id: 'firmware.failed',
    sentence: 'The firmware says that its own measuring failed in PCR {registers}.',
    see: [
      {
        what: 'a separator that says error',
        registers: [0, 1, 2, 3, 4, 5, 6, 7],
        kinds: ['separator'],
        bound: true,
        where: ({ after }) => after?.summary === '0x00000001',
      },
    ],
    tell: (_, { differences: [separators = []] }) => ({
      registers: named(
        separators.map(({ register }) => String(register)),
        8,
      ),
    }),
    confidence: 'certain',
    concern: 'check',
    next: 'Power the machine off and on. If it stays, update or restore the firmware: nothing behind that point was measured.',
    example: 'A firmware volume that could not be read.',
  },
  {
    id: 'machine.other',
    sentence:
      'Firmware, platform key and boot disk are all others: this looks like another machine, or like the log of one.',
    see: [
      CODE,
      { what: 'PK, changed', registers: [7], changes: ['changed'], subject: /^PK$/, bound: true },
      {
        what: 'the GPT of another disk',
        registers: [5],
        kinds: ['partitions'],
        bound: true,
        where: ({ fields }) => fields.some(({ name }) => name === 'disk'),
      },
    ],
    with: [VERSION],
    confidence: 'likely',
    concern: 'check',
    next: 'Compare model and serial number on the box with those of the node. If it was exchanged as a whole, enrol it as a new node; the comparison below says little then.',
    example: 'The baseline that was given is that of another model.',
  },
  {
    id: 'firmware.updated',
    sentence: 'The firmware was updated{versions}.',
    see: [{ ...VERSION, what: 'the firmware’s version, changed', changes: ['changed'] }],
    with: [CODE, SETTINGS, DEVICES],
    tell: (_, { differences: [versions = []] }) => {
      const [version] = versions
      const { before, after, bound = false } = version ?? {}
      return { versions: bound && before !== undefined ? `: ${before.summary} → ${after?.summary ?? ''}` : '' }
    },
    confidence: 'likely',
    concern: 'check',
    next: 'If this update was planned, learn PCR 0 of the new version from one machine that you trust, and add it to the references. If it was not, see what the vendor published, and who flashed it.',
    example: 'fwupd installed a BIOS update over night.',
  },
  {
    id: 'firmware.code-changed',
    sentence: 'The code of the firmware changed, and its version did not ({count} in PCR 0).',
    see: [CODE],
    without: [VERSION],
    with: [SETTINGS, DEVICES],
    tell: (_, { differences: [code = []] }) => ({ count: plural(code.length, 'measurement') }),
    confidence: 'likely',
    concern: 'attack',
    next: 'Compare with another machine of this model and firmware version. If that has the old values, take this one out of service and flash the vendor’s image from outside; if all have the new ones, the vendor changed code under one version.',
    example: 'An implant in a firmware volume; a new processor whose microcode loads another volume.',
  },
  {
    id: 'firmware.locality',
    sentence:
      'The processor or the firmware started the TPM in another way: PCR 0 begins with another value, and has the same events.',
    condition: 'PCR 0 differs without any of its events',
    see: [],
    tell: ({ diff }) =>
      diff?.pcrs.some(({ register, equal, changes }) => register === 0 && !equal && changes.length === 0) === true
        ? {}
        : undefined,
    confidence: 'certain',
    concern: 'check',
    next: 'See whether Boot Guard, TXT or a Platform Secure Boot was switched on or off in the firmware setup.',
    example: 'Boot Guard started at locality 3, and now locality 0 starts the TPM.',
  },
  {
    id: 'boot.setup-and-order',
    sentence: 'Someone entered the firmware’s setup, and the boot order changed: {order}.',
    see: [SETUP, ORDER],
    with: [OPTIONS, SETTINGS],
    tell: (_, { differences: [, order = []] }) => ({ order: orderText(order) }),
    confidence: 'certain',
    concern: 'check',
    next: 'Ask who was at the machine. If it was meant, allow the new order (boot.order) or set the old one back; if nobody was, look at what was plugged in, and treat the disk as touched.',
    example: 'A technician pressed F2 and took the USB stick out of the boot order.',
  },
  {
    id: 'boot.setup-entered',
    sentence: 'Someone entered the firmware’s setup{settings}.',
    see: [SETUP],
    with: [OPTIONS, SETTINGS],
    tell: ({ differences }) => {
      const changed = differences.filter(({ register, kind }) => register === 1 && kind !== 'action')
      return {
        settings:
          changed.length === 0 ? ', and changed nothing that is measured' : `, and changed: ${subjects(changed)}`,
      }
    },
    confidence: 'certain',
    concern: 'check',
    next: 'Ask who was at the machine, and set a password for the setup. If the settings are to stay, learn PCR 1 again.',
    example: 'A technician looked at the temperature.',
  },
  {
    id: 'firmware.microcode',
    sentence: 'The processor has other microcode, by what the log says.',
    see: [
      {
        what: 'EV_CPU_MICROCODE',
        registers: [0, 1],
        where: ({ after, before }) => (after ?? before)?.type === 'EV_CPU_MICROCODE',
      },
    ],
    confidence: 'likely',
    concern: 'check',
    next: 'Expected with a firmware update or another processor. Compare with a machine of the same model.',
    example: 'A firmware update that changed nothing but microcode.',
  },
  {
    id: 'firmware.device-added',
    sentence: 'A device with firmware of its own was added: {count} more in PCR 2{names}.',
    see: [{ ...DEVICES, what: 'a driver or option ROM, new', changes: ['added'] }],
    without: [{ ...DEVICES, what: 'one that is gone', changes: ['removed'] }],
    tell: (_, { differences: [added = []] }) => ({ count: plural(added.length, 'measurement'), names: namesOf(added) }),
    confidence: 'likely',
    concern: 'check',
    next: 'Ask what was plugged in (lspci on the machine). A card that belongs there: add its option ROM to the policy (firmware.drivers). Otherwise take it out.',
    example: 'A network card with a boot ROM.',
  },
  {
    id: 'firmware.device-removed',
    sentence: 'A device with firmware of its own is gone: {count} less in PCR 2{names}.',
    see: [{ ...DEVICES, what: 'a driver or option ROM, gone', changes: ['removed'] }],
    without: [{ ...DEVICES, what: 'one that is new', changes: ['added'] }],
    tell: (_, { differences: [removed = []] }) => ({
      count: plural(removed.length, 'measurement'),
      names: namesOf(removed),
    }),
    confidence: 'likely',
    concern: 'check',
    next: 'Ask who took it out, or whether it failed; or learn PCR 2 again if it is to stay out.',
    example: 'A failed RAID controller.',
  },
  {
    id: 'firmware.device-changed',
    sentence: 'Drivers or option ROMs changed: {count} in PCR 2{names}.',
    see: [DEVICES],
    tell: (_, { differences: [changed = []] }) => ({
      count: plural(changed.length, 'measurement'),
      names: namesOf(changed),
    }),
    confidence: 'likely',
    concern: 'check',
    next: 'Compare with the vendor’s update of the card, and with other machines that have it. An option ROM runs before Secure Boot can stop it.',
    example: 'The firmware of a network card was updated.',
  },
  {
    id: 'firmware.device-settings',
    sentence: 'Settings of drivers or devices changed (PCR 3): {subjects}.',
    see: [{ what: 'anything in PCR 3', registers: [3] }],
    tell: (_, { differences: [changed = []] }) => ({ subjects: subjects(changed) }),
    confidence: 'likely',
    concern: 'check',
    next: 'Ask who configured the card (its own setup screen, or a vendor’s tool), and learn PCR 3 again if it is to stay.',
    example: 'A port of a network card was switched from Ethernet to InfiniBand.',
  },
  {
    id: 'firmware.vendor-measurements',
    sentence: 'The vendor’s own measurements changed (PCR 6): {subjects}.',
    see: [{ what: 'anything in PCR 6', registers: [6] }],
    tell: (_, { differences: [changed = []] }) => ({ subjects: subjects(changed) }),
    confidence: 'certain',
    concern: 'check',
    next: 'PCR 6 is the vendor’s to use: see what the vendor measures there, and whether the policy should judge it at all.',
    example: 'A vendor measures that the cover was opened.',
  },
]

function namesOf(differences: Parameters<typeof summaries>[0]): string {
  const text = summaries(differences, 2)
  return text === '' ? '' : ` (${text})`
}
