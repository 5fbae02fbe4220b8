// Run by killed-agent.test.ts as a process of its own: `node enrol-child.ts CONFIG`. Prints each event's name.
import pino from 'pino'
import { enrollOnce, readAgentConfig } from '../../src/agent/index.ts'

await enrollOnce(await readAgentConfig(process.argv[2] ?? ''), {
  logger: pino({ level: 'silent' }),
  onEvent: (event) => {
    process.stdout.write(`${event.type}${event.type === 'onboarding' ? ` ${event.step}` : ''}\n`)
  },
})
