import { Command } from 'commander'
import { TouchstoneError } from '../core/index.ts'
import { nodeDetail } from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { operatorClient } from './operator-client.ts'
import { parseOutputFormat, printObject } from './output.ts'

interface Options {
  readonly replaces?: string
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
    .addHelpText('after', '\nLook first: touchstone describe node ID shows the keys that are asked for.')
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

/** Names the keys that were shown, so that others that are asked for meanwhile are not approved unseen. */
function approvalOf({ reEnrolment }: ReturnType<typeof nodeDetail.parse>, { replaces }: Options) {
  return {
    ...(replaces === undefined ? {} : { replaces }),
    ...(reEnrolment === undefined ? {} : { akName: reEnrolment.akName }),
  }
}
