import { parseArgs } from 'node:util'
import { endOnSignal, openStage } from '../scripts/stage/processes.ts'
import { BENCHES } from './benches.ts'
import { MissingData, MissingPeer, type Row } from './framework.ts'
import { goalOf, isMet, limitOf } from './limits.ts'

/** `npm run bench -- [--json] [NAME…]`: bench/README.md says what is measured and how. */
const { values, positionals } = parseArgs({ options: { json: { type: 'boolean' } }, allowPositionals: true })
const names = positionals.length === 0 ? Object.keys(BENCHES) : positionals
const unknown = names.filter((name) => !(name in BENCHES))
if (unknown.length > 0) {
  process.stderr.write(`error: there is no bench ${unknown.join(', ')}\nhint: ${Object.keys(BENCHES).join(' ')}\n`)
  process.exitCode = 2
} else {
  if (values.json !== true) print('NAME', 'VALUE', 'RATIO', 'GOAL', 'MET', 'RUNS', 'AGAINST')
  for (const name of names) {
    if (!(await run(name))) process.exitCode = 1
  }
}

async function run(name: string): Promise<boolean> {
  const stage = await openStage()
  endOnSignal(stage, false)
  try {
    const bench = await BENCHES[name]?.()
    for (const row of (await bench?.(stage)) ?? []) {
      if (values.json === true) process.stdout.write(`${JSON.stringify(row)}\n`)
      else printRow(row)
    }
    return true
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    process.stderr.write(`error: ${name}: ${message}\n`)
    if (error instanceof MissingPeer) process.stderr.write(`hint: apt-get install ${error.packages}\n`)
    if (error instanceof MissingData) process.stderr.write('hint: run it where ../shared/data is\n')
    return false
  } finally {
    await stage.end()
    await stage.discard()
  }
}

function printRow(row: Row): void {
  const limit = limitOf(row.name)
  const met = isMet(limit, row)
  print(
    row.name,
    `${row.value} ${row.unit}`,
    String(row.ratio),
    goalOf(limit),
    met === undefined ? '' : met ? 'yes' : 'NO',
    String(row.runs),
    row.against,
  )
}

function print(...cells: readonly string[]): void {
  const widths = [22, 14, 8, 12, 5, 6, 0]
  process.stdout.write(
    `${cells
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join(' ')
      .trimEnd()}\n`,
  )
}
