import { globSync } from 'node:fs'
import { join } from 'node:path'
import { cruise, type ICruiseResult } from 'dependency-cruiser'
import extractTSConfig from 'dependency-cruiser/config-utl/extract-ts-config'
import extractConfig from 'dependency-cruiser/config-utl/extract-depcruise-config'

/**
 * Holds src/ to the import table of .dependency-cruiser.cjs. A cruiser that sees no modules reports no violation, so the
 * count of modules it saw is compared with the files that are there.
 */
export async function checkImportRules(root: string): Promise<boolean> {
  const config = await extractConfig(join(root, '.dependency-cruiser.cjs'))
  const { output } = await cruise(
    ['src'],
    { ...config.options, ruleSet: config, validate: true, baseDir: root },
    {},
    { tsConfig: extractTSConfig(join(root, 'tsconfig.json')) },
  )
  const result = output as ICruiseResult
  const seen = result.modules.filter((module) => module.source.startsWith('src/')).length
  const present = globSync('src/**/*.ts', { cwd: root }).length
  for (const violation of result.summary.violations) {
    process.stderr.write(`error: ${violation.rule.name}: ${violation.from} -> ${violation.to}\n`)
  }
  if (seen !== present) {
    process.stderr.write(`error: the import rules saw ${seen} of ${present} modules of src/\n`)
    return false
  }
  process.stderr.write(
    `  ${seen} modules, ${result.summary.totalDependenciesCruised ?? 0} imports, ${result.summary.violations.length} violations\n`,
  )
  return result.summary.violations.length === 0
}
