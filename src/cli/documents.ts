import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { splitDocuments } from '../attest/index.ts'
import { TouchstoneError } from '../core/index.ts'
import { MAX_DOCUMENT, readText, unreadable } from './files.ts'
import { faultLines } from './policy-faults.ts'

/**
 * The YAML documents of files and folders, each as its own text. Throws `policy.invalid` with every fault of all of them, and
 * `usage.arguments` where there is none.
 */
export async function readDocuments(paths: readonly string[]): Promise<readonly string[]> {
  const files = await expand(paths)
  const texts = await Promise.all(files.map(async (file) => ({ file, text: await readText(file, MAX_DOCUMENT) })))
  requireFaultless(texts)
  const documents = texts.flatMap(({ text }) => splitDocuments(text))
  if (documents.length === 0) throw new TouchstoneError('usage.arguments', 'there is no document in these files')
  return documents
}

/** The verifier checks again; here the faults have file, line and column. */
function requireFaultless(texts: readonly { readonly file: string; readonly text: string }[]): void {
  const faults = texts.flatMap(({ file, text }) => faultLines(file, text))
  if (faults.length > 0) throw new TouchstoneError('policy.invalid', faults.join('\n'))
}

async function expand(paths: readonly string[]): Promise<readonly string[]> {
  const lists = await Promise.all(
    paths.map(async (path) => {
      try {
        if (!(await stat(path)).isDirectory()) return [path]
        const names = await readdir(path)
        return names
          .filter((name) => /\.ya?ml$/.test(name))
          .sort()
          .map((name) => join(path, name))
      } catch (cause) {
        throw unreadable(path, cause)
      }
    }),
  )
  return lists.flat()
}
