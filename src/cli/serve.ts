import { Command } from 'commander'
import { EXIT } from './failure.ts'

export function serveCommand(finish: (code: number) => void): Command {
  return new Command('serve')
    .description('Run the verifier until SIGTERM or SIGINT.')
    .requiredOption('--config <file>', 'YAML configuration: listen, dataDir, admission, policies, …')
    .addHelpText(
      'after',
      `
Writes <dataDir>/run.json { url, pid } when it is ready. A stop finishes what was begun.

Example:
  touchstone ca init --data-dir /var/lib/touchstone
  printf 'dataDir: /var/lib/touchstone\\nadmission: manifest\\nmanifest: boxes.yaml\\npolicies: policies/\\n' > verifier.yaml
  touchstone serve --config verifier.yaml`,
    )
    .action(async (options: { config: string }) => {
      const { serve } = await import('../server/index.ts')
      await serve(options.config, stopSignal())
      finish(EXIT.done)
    })
}

const EXIT_CODES = { SIGTERM: 143, SIGINT: 130 } as const

/** Aborts at the first SIGTERM or SIGINT; a second one ends the process the hard way. */
export function stopSignal(): AbortSignal {
  const controller = new AbortController()
  for (const [name, code] of Object.entries(EXIT_CODES)) {
    // Not `once`: a listener that is gone when the next one looks makes execa's own handler end the process at once, in the
    // middle of what it does.
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(code)
      controller.abort(name)
    })
  }
  return controller.signal
}
