import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { openSwtpmInstances } from '../../src/vtpm/guest/index.ts'

/** `guests-process.ts DIRECTORY COUNT`, for bench/peers/guests.ts. Says `ready`, then process id and socket of each TPM. */
const [directory = '', count = '1'] = process.argv.slice(2)

const instances = await openSwtpmInstances({ runDir: join(directory, 'run'), poolSize: 0, rsaEk: false })
// Nothing else holds this process: guests' TPMs outlive it.
process.stdin.resume()
process.on('SIGTERM', () => process.exit())
process.stdout.write('ready\n')
// One state for all of them, each under a key of its own: what is measured is not what they hold.
const { blob } = await instances.take()
for (let index = 0; index < Number(count); index += 1) {
  const guest = randomUUID()
  const dir = join(directory, 'guests', guest)
  const instance = await instances.launch({ guest, dir, key: randomBytes(32), blob, attachment: 'socket' })
  await instances.expose(instance)
  process.stdout.write(`${instance.pid} ${instance.dataSocket ?? ''}\n`)
}
