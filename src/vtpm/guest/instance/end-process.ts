import type { SwtpmProcess } from './process.ts'

/** From the answer to CMD_SHUTDOWN to the end of the process. */
const GRACE = 2_000

/** CMD_SHUTDOWN, and SIGKILL where that does not help. What the TPM had to be told before, it was told. */
export async function endProcess(process: SwtpmProcess): Promise<void> {
  if (process.running) await process.control.shutdown().catch(() => undefined)
  // The child does not hold this process, so a timer must until it is gone.
  const timer = setTimeout(() => {
    process.kill()
  }, GRACE)
  await process.exited
  clearTimeout(timer)
}
