/** The entry: says so when the runtime is too old, before anything is loaded that would fail in a less helpful way. */
const NEEDED = 24
const major = Number(process.versions.node.split('.')[0])

if (major < NEEDED) {
  process.stderr.write(
    `error: Touchstone needs Node.js ${NEEDED} or newer, this is ${process.versions.node}\n` +
      'hint: put a newer node first in PATH; a checkout brings its own with scripts/setup\n',
  )
  process.exitCode = 70
} else {
  const { runCli } = await import('./program.ts')
  process.exitCode = await runCli(process.argv.slice(2))
}
