import { mkdirSync, readFileSync, writeFileSync, globSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'

/**
 * usage: strip-types.ts SRC OUT
 * The sources as plain modules, as `npm run build` makes them, without asking whether their types are right: a slow machine
 * is spared to do it at each start.
 */

/** `from './x.ts'`, `import('./x.ts')` */
const IMPORT = /((?:from|import) ?\(?'\.[^'\n]*)\.ts'/g

const [, , from = '', to = ''] = process.argv
for (const file of globSync('**/*.ts', { cwd: from })) {
  const out = join(to, file.replace(/\.ts$/, '.js'))
  mkdirSync(dirname(out), { recursive: true })
  writeFileSync(out, stripTypeScriptTypes(readFileSync(join(from, file), 'utf8')).replaceAll(IMPORT, "$1.js'"))
}
