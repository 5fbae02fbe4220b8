import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { toPem, type Certificate } from '../../src/ca/path/index.ts'

/** Runs `work` in a fresh directory that is removed afterwards. */
export async function inTemporaryDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'touchstone-test-ca-'))
  try {
    return await work(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

export async function openssl(args: readonly string[], input?: string | Uint8Array): Promise<string> {
  const { stdout } = await execa('openssl', args, { timeout: 30_000, ...(input === undefined ? {} : { input }) })
  return stdout
}

export interface Chain {
  readonly leaf: Certificate
  readonly intermediates: readonly Certificate[]
  readonly anchors: readonly Certificate[]
  /** Milliseconds. */
  readonly now: number
}

/** What `openssl verify` says of a chain, strictly; anchors need not be self-signed. */
export function opensslVerifies(chain: Chain, ...options: readonly string[]): Promise<boolean> {
  return inTemporaryDirectory(async (directory) => {
    const file = async (name: string, certificates: readonly Certificate[]) => {
      const path = join(directory, name)
      await writeFile(path, certificates.map(({ der }) => toPem(der)).join(''))
      return path
    }
    const untrusted =
      chain.intermediates.length === 0 ? [] : ['-untrusted', await file('untrusted', chain.intermediates)]
    const { exitCode, stdout, stderr } = await execa(
      'openssl',
      [
        ...['verify', '-x509_strict', '-partial_chain', '-no-CAfile', '-no-CApath', '-no-CAstore'],
        ...['-attime', `${Math.floor(chain.now / 1000)}`, ...options],
        ...['-CAfile', await file('anchors', chain.anchors), ...untrusted, await file('leaf', [chain.leaf])],
      ],
      { reject: false, timeout: 30_000 },
    )
    // Anything but its two verdicts (0, 2) means that openssl did not judge.
    if (exitCode !== 0 && exitCode !== 2) throw new Error(`openssl verify: ${stdout}${stderr}`)
    return exitCode === 0
  })
}
