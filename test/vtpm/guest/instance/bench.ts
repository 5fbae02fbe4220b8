import { randomBytes, randomUUID } from 'node:crypto'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { execa } from 'execa'
import { endKeepers } from '../../../../scripts/stage/keepers.ts'
import { openSwtpmInstances } from '../../../../src/vtpm/guest/instance/instances.ts'
import type {
  Attachment,
  Instance,
  KeeperNews,
  LaunchOptions,
  ManufacturedTpm,
  RefusedControl,
  SwtpmInstances,
  SwtpmInstancesOptions,
} from '../../../../src/vtpm/guest/instance/types.ts'

export interface Bench {
  readonly dir: string
  readonly instances: SwtpmInstances
  readonly refused: RefusedControl[]
  readonly resets: string[]
  readonly news: KeeperNews[]
  /** Launches and exposes; ended after the test. */
  start(
    attachment: Attachment,
    tpm: ManufacturedTpm,
    options?: Partial<LaunchOptions>,
  ): Promise<{ readonly instance: Instance; readonly key: Buffer; readonly dir: string }>
  /** Until the newest broker was told everything that the control keeper had to tell so far. */
  told(instance: Instance): Promise<void>
  /** A tpm2-tools command on a guest's socket; objects are flushed behind it. */
  run(instance: Instance, tool: string, ...args: string[]): Promise<string>
  /** A second broker over the same directories, as after a crash of the first. */
  another(options?: Partial<SwtpmInstancesOptions>): Promise<SwtpmInstances>
}

/** Short paths, a pool of none, and nothing left behind. */
export async function bench(t: TestContext, options: Partial<SwtpmInstancesOptions> = {}): Promise<Bench> {
  const dir = await mkdtemp(join(tmpdir(), 'ts-gi-'))
  // Guests' users pass through.
  await chmod(dir, 0o711)
  await mkdir(join(dir, 'state'), { mode: 0o711 })
  const refused: RefusedControl[] = []
  const resets: string[] = []
  const news: KeeperNews[] = []
  const open = (more: Partial<SwtpmInstancesOptions> = {}) =>
    openSwtpmInstances({
      runDir: join(dir, 'run'),
      poolSize: 0,
      rsaEk: false,
      onRefused(event) {
        refused.push(event)
        return Promise.resolve()
      },
      onReset: (guest) => resets.push(guest),
      onKeeper: (each) => news.push(each),
      ...options,
      ...more,
    })
  const instances = await open()
  const pids = new Set<number>()
  const opened = [instances]
  t.after(async () => {
    await Promise.all(opened.map((each) => each.close()))
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It has ended.
      }
    }
    await endKeepers(join(dir, 'run'))
    await rm(dir, { recursive: true, force: true })
  })
  return {
    ...{ dir, instances, refused, resets, news },
    // A question that changes nothing: its answer comes behind whatever was told before.
    told: async (instance) => await opened.at(-1)?.expose(instance),
    async start(attachment, tpm, more = {}) {
      const guest = more.guest ?? randomUUID()
      const key = Buffer.from(more.key ?? randomBytes(32))
      const state = more.dir ?? join(dir, 'state', guest)
      const instance = await instances.launch({ guest, dir: state, key, blob: tpm.blob, attachment, ...more })
      pids.add(instance.pid)
      await instances.expose(instance)
      pids.add(instance.pid)
      return { instance, key, dir: state }
    },
    async run({ dataSocket }, tool, ...args) {
      const env = { TPM2TOOLS_TCTI: `swtpm:path=${dataSocket ?? ''}`, TSS2_LOG: 'all+none' }
      const result = await execa(tool, args, { cwd: dir, env, timeout: 60_000 })
      if (!NEEDS_NO_FLUSH.has(tool)) await execa('tpm2_flushcontext', ['-t'], { cwd: dir, env, timeout: 60_000 })
      return result.stdout
    },
    async another(more) {
      const next = await open(more)
      opened.push(next)
      return next
    },
  }
}

const NEEDS_NO_FLUSH = new Set(['tpm2_flushcontext', 'tpm2_pcrread', 'tpm2_pcrextend', 'tpm2_getcap', 'tpm2_pcrreset'])
