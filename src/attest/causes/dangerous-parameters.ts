interface Danger {
  readonly parameter: RegExp
  readonly why: string
}

/** Parameters that give somebody a shell, or take a protection away. Of Linux, systemd, dracut, initramfs-tools and EVE. */
const DANGERS: readonly Danger[] = [
  { parameter: /^(?:init|rdinit)=/, why: 'another first program' },
  { parameter: /^(?:single|s|S|1|emergency|rescue|-b|getty)$/, why: 'a shell at the console' },
  {
    parameter: /^(?:rd\.break|rd\.shell|break|systemd\.debug[-_]shell|rd\.systemd\.debug[-_]shell)(?:=|$)/,
    why: 'a shell at the console',
  },
  { parameter: /^(?:rd\.)?systemd\.unit=(?:rescue|emergency)/, why: 'a shell at the console' },
  { parameter: /^lockdown=none$/, why: 'no lockdown' },
  { parameter: /^module\.sig_enforce=0$/, why: 'unsigned modules' },
  { parameter: /^(?:selinux=0|enforcing=0|apparmor=0|security=none|lsm=)/, why: 'no mandatory access control' },
  { parameter: /^ima_appraise=(?:off|fix|log)$/, why: 'files are not verified' },
  { parameter: /^(?:iommu|intel_iommu|amd_iommu)=off$/, why: 'no DMA protection' },
  { parameter: /^(?:mitigations=off|nokaslr|nosmep|nosmap|nopti)/, why: 'no mitigations' },
  { parameter: /^(?:kgdboc|kgdbwait|ekgdboc)/, why: 'a kernel debugger' },
  { parameter: /^(?:rd\.)?systemd\.verity=(?:0|no|off)$/, why: 'file systems are not verified' },
]

/** Parameters that protect, and are missed where they are gone. */
const PROTECTIONS =
  /^(?:lockdown=|module\.sig_enforce|ima_policy=|ima_appraise=enforce|ima_appraise_tcb|roothash=|usrhash=|systemd\.verity_)/

/** What of new and missing parameters opens a machine, and why. */
export function dangersOf(added: ReadonlySet<string>, missing: ReadonlySet<string>): string[] {
  const given = [...added].flatMap((word) => {
    const danger = DANGERS.find(({ parameter }) => parameter.test(word))
    return danger === undefined ? [] : [`${word} (${danger.why})`]
  })
  const taken = [...missing].filter((word) => PROTECTIONS.test(word) && !added.has(word))
  return [...given, ...taken.map((word) => `no ${word}`)]
}
