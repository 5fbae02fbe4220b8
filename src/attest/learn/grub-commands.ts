/** What a command of GRUB does beside being measured, as far as a prediction has to know. */
export interface GrubCommandRow {
  /** Files that it reads, among its arguments without options; each is measured into PCR 9. */
  readonly reads?: 'first' | 'all'
  /** It makes of its arguments the command line of a kernel, which is measured into PCR 8. */
  readonly kernel?: true
  /** Which files it reads cannot be seen here. */
  readonly unseen?: string
  /** What happens behind it cannot be seen here: another script runs, or variables come from somewhere else. */
  readonly ends?: string
}

const KERNEL: GrubCommandRow = { reads: 'first', kernel: true }
const READS: GrubCommandRow = { reads: 'all' }
const SCRIPT: GrubCommandRow = { ends: 'it runs another script' }

/** GRUB 2.12 manual, sections 16 and 19; commands that are not here do nothing of this. */
export const GRUB_COMMANDS: Readonly<Record<string, GrubCommandRow>> = {
  linux: KERNEL,
  linuxefi: KERNEL,
  linux16: KERNEL,
  initrd: READS,
  initrdefi: READS,
  initrd16: READS,
  devicetree: READS,
  loadfont: READS,
  background_image: READS,
  chainloader: { reads: 'first' },
  multiboot: { ends: 'what it measures of its arguments is not known here', reads: 'first' },
  multiboot2: { ends: 'what it measures of its arguments is not known here', reads: 'first' },
  module: { ends: 'what it measures of its arguments is not known here', reads: 'first' },
  module2: { ends: 'what it measures of its arguments is not known here', reads: 'first' },
  xen_hypervisor: { ends: 'what it measures of its arguments is not known here', reads: 'first' },
  xen_module: { ends: 'what it measures of its arguments is not known here', reads: 'first' },
  insmod: { unseen: 'a module that is not built in is read from the disk' },
  acpi: READS,
  cat: READS,
  keymap: READS,
  loopback: { unseen: 'what is read through it' },
  load_env: { ends: 'it sets variables from a file' },
  read: { ends: 'it sets a variable from the keyboard' },
  source: SCRIPT,
  '.': SCRIPT,
  configfile: SCRIPT,
  normal: SCRIPT,
  extract_entries_source: SCRIPT,
  extract_entries_configfile: SCRIPT,
  eval: SCRIPT,
  blscfg: { ends: 'it reads entries from the disk' },
  blsuki: { ends: 'it reads entries from the disk' },
}

/** Options of menuentry and submenu that take the next argument where they have no `=`. */
export const ENTRY_OPTIONS: ReadonlySet<string> = new Set(['--class', '--users', '--hotkey', '--source', '--id'])
