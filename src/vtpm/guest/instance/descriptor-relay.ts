import { openFdPassing } from './fd-passing.ts'

/**
 * A program: `descriptor-relay CONTROL`. It inherits a guest's control connection as descriptor 3 and takes the first thing
 * that comes over it. Where that is CMD_SET_DATAFD with a socket, it passes both on to swtpm's control socket and says what
 * swtpm answered: `passed 00000000`. Bytes without a descriptor it repeats: `other <hex>`. Then it ends; the control
 * keeper has the connection too, and goes on with it. A descriptor at which Node aborts ends this process and nothing else.
 * A keeper of an older Touchstone may start this file: what the two say to each other stays as it is.
 */

const SET_DATAFD = '00000010'
const ANSWER = 4
/** More than any command that is read to its end. */
const REPEATED = 128

/** Where this program lies, for whoever starts it. */
export const relayProgram = import.meta.filename

async function relay(control: string): Promise<string> {
  const passing = openFdPassing(Reflect.get(process, 'binding'))
  const first = await passing.inherited(3).receive()
  if (first === undefined) return 'nothing'
  const hex = first.bytes.toString('hex', 0, REPEATED)
  if (first.handle === undefined) return `other ${hex}`
  if (hex !== SET_DATAFD) return 'nothing'
  const swtpm = await passing.connect(control)
  swtpm.send(first.bytes, first.handle)
  const answer = await swtpm.receive()
  if (answer?.bytes.byteLength !== ANSWER) throw new Error('swtpm did not answer')
  return `passed ${answer.bytes.toString('hex')}`
}

if (import.meta.main) {
  const said = await relay(process.argv[2] ?? '')
  process.stdout.write(`${said}\n`, () => process.exit())
}
