import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { powerOnMachine, type Machine, type MachineOptions } from './machine.ts'

/** A machine that runs scripts when it is told to, instead of one job. */
export interface GuestShell extends Machine {
  /**
   * Runs a script in the guest's `sh`, once the guest is up, and resolves with what it printed. What is to go on behind it
   * needs its own output. Rejects when it fails, when the machine ends, and when nothing comes for `patienceMs`.
   */
  run(script: string, patienceMs?: number): Promise<string>
}

const PATIENCE_MS = 180_000
const EXIT = /exit (\d+)\n$/

/** Powers a machine on whose job is a shell for this process: it connects to a free port of loopback again and again. */
export async function powerOnShell(options: MachineOptions): Promise<GuestShell> {
  const waiting: Socket[] = []
  const takers: ((socket: Socket) => void)[] = []
  const server = createServer((socket) => {
    // Of a guest that was reset: nobody waits for anything from it.
    socket.on('error', () => undefined)
    const taker = takers.shift()
    if (taker === undefined) waiting.push(socket)
    else taker(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const forget = () => {
    for (const socket of waiting.splice(0)) socket.destroy()
  }
  const close = () => {
    server.close()
    forget()
  }
  let machine: Machine
  try {
    const { port } = addressOf(server.address())
    const job = { ...options.job, run: `while :; do nc 10.0.2.2 ${port} -e sh; sleep 1; done\n` }
    machine = await powerOnMachine({ ...options, job })
  } catch (error) {
    close()
    throw error
  }
  machine.ended.then(close, close)
  const nextConnection = (): Promise<Socket> => {
    const socket = waiting.shift()
    return socket === undefined ? new Promise((resolve) => takers.push(resolve)) : Promise.resolve(socket)
  }
  const runOn = async (socket: Socket, script: string): Promise<string> => {
    socket.write(`(\nset -e\n${script}\n) </dev/null 2>&1; echo "exit $?"; exit\n`)
    const output = await text(socket)
    socket.destroy()
    const [last, code] = EXIT.exec(output) ?? []
    if (last === undefined || code !== '0') throw new Error(`the guest's script failed:\n${script}\n---\n${output}`)
    return output.slice(0, -last.length)
  }
  return {
    ...machine,
    async run(script, patienceMs = PATIENCE_MS) {
      const given = Promise.withResolvers<never>()
      const timer = setTimeout(() => {
        given.reject(new Error(`the guest did not do this within ${patienceMs / 1000} s:\n${script}`))
      }, patienceMs)
      const ended = machine.ended.then((code) => {
        throw new Error(`the machine ended with ${code}`)
      })
      const done = nextConnection().then((socket) => runOn(socket, script))
      done.catch(() => undefined)
      try {
        return await Promise.race([done, ended, given.promise])
      } catch (cause) {
        const [console, output] = await Promise.all([machine.console(), machine.output()])
        const seen = `${console.split('\n').slice(-12).join('\n')}\n${output.slice(-2000)}`
        throw new Error(`${cause instanceof Error ? cause.message : String(cause)}\n--- its console\n${seen}`, {
          cause,
        })
      } finally {
        clearTimeout(timer)
      }
    },
    async reset() {
      await machine.reset()
      // Connections of before: the user network keeps them, and nobody is at their other end.
      forget()
    },
  }
}

function addressOf(address: ReturnType<ReturnType<typeof createServer>['address']>): AddressInfo {
  if (typeof address === 'object' && address !== null) return address
  throw new Error('a server on a port has an address')
}
