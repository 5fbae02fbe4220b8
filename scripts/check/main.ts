import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { checkImportRules } from './import-rules.ts'

/**
 * `npm test`: every check of this checkout, the cheap ones first, the tests last, so that the test runner's closing
 * lines end the output. Stops at the first that fails and says how to run it alone.
 */

const root = join(import.meta.dirname, '..', '..')
const nodeModules = join(root, 'node_modules')

function run(title: string, args: readonly string[], again: string): void {
  process.stderr.write(`\u001b[1m▸ ${title}\u001b[0m\n`)
  const { status, signal, error } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
  if (error !== undefined) throw error
  if (status !== 0) {
    process.stderr.write(`error: ${title} failed (${signal ?? `exit ${status}`})\nhint: run it alone: ${again}\n`)
    process.exit(1)
  }
}

const only = process.argv[2]
if (only === undefined || only === 'static') {
  run(
    'format (prettier)',
    [join(nodeModules, 'prettier/bin/prettier.cjs'), '--check', '--log-level', 'warn', '.'],
    'npm run format',
  )
  run('types (tsc)', [join(nodeModules, 'typescript/bin/tsc'), '--noEmit'], 'npm run typecheck')
  run('lint (eslint)', [join(nodeModules, 'eslint/bin/eslint.js'), '.'], 'npm run lint')
  process.stderr.write('\u001b[1m▸ import rules (dependency-cruiser)\u001b[0m\n')
  if (!(await checkImportRules(root))) process.exit(1)
  run(
    'dead code and dependencies (knip)',
    [join(nodeModules, 'knip/bin/knip.js'), '--no-progress'],
    'scripts/node node_modules/knip/bin/knip.js',
  )
}
if (only === undefined || only === 'tests') {
  const files = globSync('test/**/*.test.ts', { cwd: root }).sort()
  run(
    `tests (${files.length} files)`,
    [
      '--test',
      '--test-reporter=spec',
      `--test-concurrency=${availableParallelism()}`,
      '--test-timeout=600000',
      ...files,
    ],
    'scripts/node --test FILE',
  )
}
