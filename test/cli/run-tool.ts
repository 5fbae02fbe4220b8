import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Standard output of another program, which must succeed. */
export async function run(tool: string, ...args: readonly string[]): Promise<string> {
  return (await promisify(execFile)(tool, args)).stdout
}
