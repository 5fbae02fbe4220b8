import { Command } from 'commander'
import { toBase64Url, TouchstoneError } from '../core/index.ts'
import {
  encodeBody,
  guestDetail,
  guestList,
  MEDIA,
  vtpmBackup,
  vtpmNode,
  vtpmPackage,
  type GuestDetail,
  type GuestSummary,
  type VtpmNode,
} from '../wire/index.ts'
import { askBroker, SOCKET_OPTION } from './broker-socket.ts'
import { EXIT } from './failure.ts'
import { readText } from './files.ts'
import { parseOutputFormat, printObject, printRows, type Column } from './output.ts'
import { readBackup, readPackage, writeNew } from './vtpm-files.ts'
import { renderGuest, renderNode, stateOf } from './vtpm-render.ts'

interface Options {
  readonly socket?: string
  readonly output?: string
  readonly json?: boolean
}

type Finish = (code: number) => void

const COLUMNS: readonly Column<GuestSummary>[] = [
  { title: 'GUEST', value: ({ guest }) => guest },
  { title: 'STATE', value: stateOf },
  { title: 'GENERATION', value: ({ generation }) => String(generation) },
  { title: 'CERTIFICATE', value: ({ certificate }) => certificate },
  { title: 'TENANT', value: ({ tenant }) => tenant },
  { title: 'PROBLEM', value: ({ problem }) => problem?.code ?? '' },
  { title: 'HINT', value: ({ problem }) => problem?.hint ?? '', wide: true },
]

export function vtpmCommand(finish: Finish): Command {
  const command = new Command('vtpm')
    .description('The guests of this node, each with a TPM of its own; through the socket of the broker.')
    .addHelpText(
      'after',
      `
Examples:
  touchstone vtpm create --tenant edge                # prints the id of the new guest
  touchstone vtpm start 6f1d0e5c-…                    # prints where its TPM is
  touchstone vtpm backup 6f1d0e5c-… --out guest.json
  touchstone vtpm list -o wide`,
    )
  for (const make of [
    createCommand,
    startCommand,
    stopCommand,
    listCommand,
    showCommand,
    deleteCommand,
    backupCommand,
    restoreCommand,
    rekeyCommand,
    exportCommand,
    importCommand,
    nodeCommand,
  ]) {
    command.addCommand(make(finish))
  }
  return command
}

function createCommand(finish: Finish): Command {
  return ofBroker('create', 'Make a guest and its TPM. It is stopped, and its EK certificate is asked for.')
    .argument('[guest]', 'UUID of the guest; minted where it is left out')
    .option('--tenant <name>', 'whose guest it is', 'default')
    .option('--qemu', 'its TPM is for a virtual machine (-tpmdev emulator) instead of a socket for tools')
    .option('--certificate <policy>', 'required: it does not start without; later: it may')
    .action(async (guest: string | undefined, options: Options & CreateOptions) => {
      const { tenant, qemu, certificate } = options
      const body = {
        tenant,
        attachment: qemu === true ? 'qemu' : 'socket',
        ...(guest === undefined ? {} : { guest }),
        ...(certificate === undefined ? {} : { certificate }),
      }
      const made = guestDetail.parse(await ask(options, 'POST', '/v1/guests', body, 'making a TPM'))
      printObject(parseOutputFormat(options), made, () => made.guest)
      finish(EXIT.done)
    })
}

interface CreateOptions {
  readonly tenant: string
  readonly qemu?: boolean
  readonly certificate?: string
}

function startCommand(finish: Finish): Command {
  return ofGuest('start', 'Power its TPM on. Only the state of its last stop starts; a crash is reported as unclean.')
    .option('--attachment <kind>', 'socket or qemu, this time')
    .addHelpText(
      'after',
      `
With tools:  TPM2TOOLS_TCTI=swtpm:path=<data socket> tpm2_getrandom 8
With QEMU:   -chardev socket,id=t,path=<control socket> -tpmdev emulator,id=t,chardev=t -device tpm-crb,tpmdev=t`,
    )
    .action(async (guest: string, options: Options & { readonly attachment?: string }) => {
      const { attachment } = options
      const body = attachment === undefined ? {} : { attachment }
      print(options, guestDetail.parse(await ask(options, 'POST', pathOf(guest, 'start'), body, 'starting')))
      finish(EXIT.done)
    })
}

function stopCommand(finish: Finish): Command {
  return ofGuest('stop', 'Power its TPM off in order (TPM2_Shutdown), and anchor what is left.')
    .option('--force', 'even while a virtual machine holds it')
    .action(async (guest: string, options: Options & { readonly force?: boolean }) => {
      const body = { force: options.force === true }
      print(options, guestDetail.parse(await ask(options, 'POST', pathOf(guest, 'stop'), body, 'stopping')))
      finish(EXIT.done)
    })
}

function listCommand(finish: Finish): Command {
  return ofBroker('list', 'The guests of this node.')
    .option('--all', 'also those that were deleted or have moved')
    .action(async (options: Options & { readonly all?: boolean }) => {
      const path = options.all === true ? '/v1/guests?all=true' : '/v1/guests'
      const { items } = guestList.parse(await ask(options, 'GET', path))
      printRows(parseOutputFormat(options), items, COLUMNS, 'no guests yet; make one with: touchstone vtpm create')
      finish(EXIT.done)
    })
}

function showCommand(finish: Finish): Command {
  return ofGuest('describe', 'Everything there is to know of a guest, and what could be restored.').action(
    async (guest: string, options: Options) => {
      print(options, guestDetail.parse(await ask(options, 'GET', pathOf(guest))))
      finish(EXIT.done)
    },
  )
}

function deleteCommand(finish: Finish): Command {
  return ofGuest('delete', 'Retire a guest for good and destroy its keys. Its state stays in quarantine, unreadable.')
    .option('--purge', 'leave nothing on disk')
    .action(async (guest: string, options: Options & { readonly purge?: boolean }) => {
      const body = { purge: options.purge === true }
      const gone = guestDetail.parse(await ask(options, 'POST', pathOf(guest, 'delete'), body))
      printObject(
        parseOutputFormat(options),
        gone,
        () => `deleted ${gone.guest}; its generation was ${gone.generation}`,
      )
      finish(EXIT.done)
    })
}

function backupCommand(finish: Finish): Command {
  return ofGuest('backup', 'Its TPM in a file, encrypted: for this node, and for the holder of the recovery key.')
    .requiredOption('--out <file>', 'where it goes; not overwritten')
    .action(async (guest: string, options: Options & { readonly out: string }) => {
      const made = vtpmBackup.parse(await ask(options, 'POST', pathOf(guest, 'backup'), {}, 'reading its state'))
      await writeNew(options.out, encodeBody(MEDIA.json, made))
      const { generation, digest, escrow } = made
      const answer = { guest, generation, digest, file: options.out, escrowed: escrow !== undefined }
      printObject(parseOutputFormat(options), answer, () =>
        [
          `wrote generation ${generation} of ${guest} to ${options.out}`,
          `digest  ${digest}`,
          ...(escrow === undefined ? ['only the TPM of this node opens it: the broker knows no recovery key'] : []),
          `to restore it: touchstone placement restore ${guest} NODE --digest ${digest} --generation ${generation} > grant`,
        ].join('\n'),
      )
      finish(EXIT.done)
    })
}

interface RestoreOptions extends Options {
  readonly backup?: string
  readonly generation?: string
  readonly grant?: string
  readonly yes?: boolean
}

function restoreCommand(finish: Finish): Command {
  return ofGuest('restore', 'Make an older state of a guest the current one. This is a rollback, so it takes a grant.')
    .option('--backup <file>', 'from a file that touchstone vtpm backup wrote')
    .option('--generation <n>', 'from what still lies on this node, as touchstone vtpm describe lists it')
    .option('--grant <file>', 'what touchstone placement restore printed')
    .option('--yes', 'instead of a grant, where the broker has no verifier')
    .addHelpText(
      'after',
      `
A backup of another node, or from before its TPM was cleared, first goes to who holds the recovery key:
  touchstone recovery rewrap --key recovery.pem --backup guest.json --to KEY   (KEY: touchstone vtpm node)`,
    )
    .action(async (guest: string, options: RestoreOptions) => {
      const { backup, generation, grant, yes } = options
      if ((backup === undefined) === (generation === undefined)) {
        throw new TouchstoneError('usage.arguments', 'give either --backup or --generation')
      }
      const body = {
        ...(backup === undefined ? {} : { backup: await readBackup(backup) }),
        ...(generation === undefined ? {} : { generation: wholeNumber(generation) }),
        ...(grant === undefined ? {} : { grant: await readGrant(grant) }),
        confirm: yes === true,
      }
      print(options, guestDetail.parse(await ask(options, 'POST', pathOf(guest, 'restore'), body, 'restoring')))
      finish(EXIT.done)
    })
}

function rekeyCommand(finish: Finish): Command {
  return ofGuest(
    'rekey',
    'Put a stopped guest under a new key: sealed, and escrowed to the recovery key of now.',
  ).action(async (guest: string, options: Options) => {
    print(options, guestDetail.parse(await ask(options, 'POST', pathOf(guest, 'rekey'), undefined, 'rekeying')))
    finish(EXIT.done)
  })
}

interface GrantOptions extends Options {
  readonly grant: string
  readonly out: string
}

function exportCommand(finish: Finish): Command {
  return ofGuest(
    'export',
    'Give a stopped guest away to the node of a grant. Here it is retired; the same grant repeats it.',
  )
    .requiredOption('--grant <file>', 'what touchstone place GUEST NODE printed')
    .requiredOption('--out <file>', 'where the package goes; not overwritten')
    .action(async (guest: string, options: GrantOptions) => {
      const body = { grant: await readGrant(options.grant) }
      const left = vtpmPackage.parse(await ask(options, 'POST', pathOf(guest, 'export'), body, 'wrapping its state'))
      await writeNew(options.out, encodeBody(MEDIA.json, left))
      const answer = { guest, generation: left.generation, grant: left.grant, file: options.out }
      printObject(
        parseOutputFormat(options),
        answer,
        () =>
          `${guest} has left this node\nnext, there: touchstone vtpm import ${options.out} --grant ${options.grant}`,
      )
      finish(EXIT.done)
    })
}

function importCommand(finish: Finish): Command {
  return ofBroker('import', 'Take a guest in that another node gave away.')
    .argument('<package>', 'what touchstone vtpm export wrote')
    .requiredOption('--grant <file>', 'the grant that it left under')
    .action(async (file: string, options: GrantOptions) => {
      const body = { grant: await readGrant(options.grant), package: await readPackage(file) }
      print(options, guestDetail.parse(await ask(options, 'POST', '/v1/import', body, 'taking it in')))
      finish(EXIT.done)
    })
}

function nodeCommand(finish: Finish): Command {
  return ofBroker('node', 'What others need to know of this node to send guests to it.').action(
    async (options: Options) => {
      const node: VtpmNode = vtpmNode.parse(await ask(options, 'GET', '/v1/node'))
      const told = { ...node, transportKey: toBase64Url(node.transportKey) }
      printObject(parseOutputFormat(options), told, () => renderNode(node))
      finish(EXIT.done)
    },
  )
}

function ofBroker(name: string, about: string): Command {
  return new Command(name)
    .description(about)
    .option(...SOCKET_OPTION)
    .option('-o, --output <format>', 'json, yaml or wide')
    .option('--json', 'the same as -o json')
}

function ofGuest(name: string, about: string): Command {
  return ofBroker(name, about).argument('<guest>', 'UUID of the guest')
}

function pathOf(guest: string, action?: string): string {
  const path = `/v1/guests/${encodeURIComponent(guest)}`
  return action === undefined ? path : `${path}/${action}`
}

/** Says what takes a while where somebody looks on. */
async function ask({ socket, ...rest }: Options, method: 'GET' | 'POST', path: string, body?: unknown, doing?: string) {
  const isShown = doing !== undefined && process.stderr.isTTY && parseOutputFormat(rest) === 'table'
  if (isShown) process.stderr.write(`${doing} …`)
  try {
    return await askBroker(socket, method, path, body)
  } finally {
    if (isShown) process.stderr.write('\r\u001b[K')
  }
}

function print(options: Options, guest: GuestDetail): void {
  printObject(parseOutputFormat(options), guest, () => renderGuest(guest))
}

async function readGrant(file: string): Promise<string> {
  return (await readText(file, 8192)).trim()
}

function wholeNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new TouchstoneError('usage.arguments', `${text} is not a generation`)
}
