import { Command } from 'commander'
import { TouchstoneError } from '../core/index.ts'
import { nodeDetail } from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { operatorClient } from './operator-client.ts'
import { parseOutputFormat, printObject } from './output.ts'

interface Options {
  readonly replaces?: string
  readonly ak?: string
  readonly output?: string
  readonly json?: boolean
}

const DECISIONS = {
  approve: {
    about: 'Let a pending node in, or let an enrolled one take the keys that it asks for.',
    done: 'approved',
  },
  suspend: { about: 'Refuse a node from now on, whatever it brings.', done: 'suspended' },
  activate: { about: 'Let a suspended node work again.', done: 'activated' },
} as const

type Decision = keyof typeof DECISIONS

export function approveCommand(finish: (code: number) => void): Command {
  return decisionCommand('approve', finish)
    .option('--replaces <id>', 'the node that held this model and serial until now; it is suspended and loses them')
    .option('--ak <name>', 'for other keys of an enrolled node: the AK Name that describe shows, in hex')
    .addHelpText('after', '\nLook first: touchstone describe node ID shows what is asked for.')
}

export function suspendCommand(finish: (code: number) => void): Command {
  return decisionCommand('suspend', finish)
}

export function activateCommand(finish: (code: number) => void): Command {
  return decisionCommand('activate', finish)
}

function decisionCommand(decision: Decision, finish: (code: number) => void): Command {
  return new Command(decision)
    .description(DECISIONS[decision].about)
    .argument('<kind>', 'node')
    .argument('<name>', 'the id of the node')
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .action(async (kind: string, name: string, options: Options) => {
      if (kind !== 'node' && kind !== 'nodes') {
        throw new TouchstoneError('usage.arguments', `cannot ${decision} ${kind}`, {
          hint: `Use: touchstone ${decision} node ID`,
        })
      }
      const client = operatorClient(process.env)
      const path = `/v1/nodes/${encodeURIComponent(name)}`
      const body = decision === 'approve' ? approvalOf(nodeDetail.parse(await client.get(path)), options) : undefined
      const node = nodeDetail.parse(await client.post(`${path}/${decision}`, body))
      printObject(
        parseOutputFormat(options),
        node,
        () => `${DECISIONS[decision].done} ${node.nodeId}; it is ${node.status}`,
      )
      finish(EXIT.done)
    })
}

/** Keys are approved by their name and never unseen: others may be asked for by the time that the answer arrives. */
function approvalOf({ reEnrolment }: ReturnType<typeof nodeDetail.parse>, { replaces, ak }: Options) {
  if (reEnrolment !== undefined && ak === undefined) {
    throw new TouchstoneError('usage.arguments', `the node asks for other keys, with the AK ${reEnrolment.akName}`, {
      hint: `If that is what you expect: touchstone approve node ID --ak ${reEnrolment.akName}`,
    })
  }
  return { ...(replaces === undefined ? {} : { replaces }), ...(ak === undefined ? {} : { akName: ak }) }
}
