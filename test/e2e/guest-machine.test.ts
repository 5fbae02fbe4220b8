import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { parse, stringify } from 'yaml'
import { z } from 'zod'
import { isTouchstoneError } from '../../src/core/index.ts'
import { nodeList, type AttestationDetail } from '../../src/wire/index.ts'
import { manufactureBoxes, prepareFleet } from '../../scripts/stage/boxes.ts'
import type { Broker } from '../../scripts/stage/broker.ts'
import { brokerNode } from '../../scripts/stage/broker-node.ts'
import { startVerifier, waitFor } from '../../scripts/stage/fleet.ts'
import { openStage, runCommand, type Stage } from '../../scripts/stage/processes.ts'
import { guestImage, SKIP_WITHOUT_GUEST_IMAGE } from '../../scripts/vm/guest-image.ts'
import { powerOnShell, type GuestShell } from '../../scripts/vm/guest-shell.ts'
import { makeDisk } from '../../scripts/vm/machine.ts'
import { powerOn, readBoot } from '../../swtpm/index.ts'

const TENANT = 'web'
const LINK_PORT = 8080
/** An agent under emulation starts in ten seconds, and in forty on a machine that has much else to do. */
const PATIENCE_MS = 420_000

const container = join(import.meta.dirname, '..', '..', 'scripts', 'vm', 'container.sh')

const SCRIPTS = {
  log: 'base64 /sys/kernel/security/tpm0/binary_bios_measurements',
  registers: 'tpm2_pcrread -T device:/dev/tpmrm0 sha256:0,1,2,3,4,5,6,7,8,9',
  container: 'sh /run/job/container.sh',
  agent:
    'cd /run/job; setsid /touchstone/bin/touchstone node run --config node.yaml </dev/null >>/var/agent.log 2>&1 &',
  random: 'tpm2_getrandom -T device:/dev/tpmrm0 --hex 16',
} as const

test('a virtual machine on a TPM of the broker', { skip: SKIP_WITHOUT_GUEST_IMAGE }, async (t) => {
  const stage = await openStage()
  t.after(async () => {
    await stage.end()
    await stage.discard()
  })
  const image = await guestImage()
  const [box] = await manufactureBoxes(stage, 1)
  assert.ok(box)
  const verifier = await startVerifier(stage, { ...(await prepareFleet(stage, [box])), tlsNames: ['10.0.2.2'] })
  const power = await powerOn({ directory: box.directory, boot: await readBoot('honest') })
  stage.onEnd(async () => {
    await power.powerOff()
  })
  const node = brokerNode(stage, { verifier, box, power, tenants: [TENANT] })
  await node.start()
  const guest = randomUUID()
  const [host = ''] = await verifier.nodes()
  await runCommand(['place', guest, host, '--tenant', TENANT], verifier.environment)
  const wish = { guest, tenant: TENANT, attachment: 'qemu', certificate: 'required' }
  await node.broker.ask('POST', '/v1/guests', wish)
  await waitFor('an EK certificate', node.broker.command, async () =>
    (await node.broker.describe(guest)).certificate === 'pending' ? undefined : true,
  )

  const disk = await makeDisk(join(stage.directory, 'guest.img'))
  const job = {
    'container.sh': await readFile(container),
    'root.pem': await readFile(verifier.root),
    'node.yaml': stringify({
      verifier: verifier.url.replace('127.0.0.1', '10.0.2.2'),
      trustAnchor: 'root.pem',
      stateDir: '/var/node',
      imaLog: '/sys/kernel/security/ima/binary_runtime_measurements',
      model: 'Virtual machine',
      serial: guest,
      interval: 5,
      link: `http://10.0.2.100:${LINK_PORT}`,
    }),
  }
  const start = async (name: string, initrd?: string): Promise<GuestShell> => {
    const { running } = await node.broker.start(guest)
    assert.ok(running)
    const machine = await powerOnShell({
      ...{ image, job, disk, tpmControl: running.control, directory: join(stage.directory, name) },
      ...(initrd === undefined ? {} : { initrd }),
      forwards: { [LINK_PORT]: join(running.control, '..', 'link.sock') },
    })
    stage.onEnd(() => machine.kill())
    return machine
  }
  /** A verdict after `since` that `is` so; where a slow machine made the link time out, the next one. */
  const verdict = async (
    machine: GuestShell,
    since: string,
    is: (verdict: AttestationDetail) => boolean = ({ checks }) => linkChecks(checks).includes('present'),
  ) =>
    await waitFor(
      'a verdict on the guest',
      { ended: machine.ended, log: join(stage.directory, 'verifier.log') },
      async () => {
        const { items } = nodeList.parse(await verifier.get('/v1/nodes'))
        const known = items.find((item) => item.guest?.guest === guest)
        const latest = known === undefined ? undefined : await verifier.latest(known.nodeId)
        return latest !== undefined && latest.id > since && is(latest) ? latest : undefined
      },
      PATIENCE_MS,
    )

  const machine = await start('machine')
  const log = await machine.run(SCRIPTS.log)
  const registers = await machine.run(SCRIPTS.registers)

  await t.test('a container inside has a TPM of its own, under a key that the guest holds', async () => {
    const told = factsOf(await machine.run(SCRIPTS.container))
    assert.equal(told.get('devices'), 'null tpmrm0')
    assert.match(told.get('random') ?? '', /^[0-9a-f]{32}$/)
    assert.ok(Number(told.get('created')) > 100)
    assert.match(told.get('root') ?? '', /^000b[0-9a-f]{64}$/)
    assert.notEqual(told.get('root'), told.get('guest'))
    assert.ok(Number(told.get('refused')) > 0)
  })

  await t.test('a reset begins the registers anew: the same boot measures the same', async () => {
    await machine.reset()
    assert.equal(await machine.run(SCRIPTS.registers), registers)
  })

  let newest = ''
  await t.test('it attests like a node, linked to its host, under a policy learned from its boot', async () => {
    await applyPolicy(stage, verifier.environment, Buffer.from(log, 'base64'))
    await machine.run(SCRIPTS.agent)
    const { id, status, checks } = await verdict(machine, newest)
    newest = id
    // Its firmware has no keys, so Secure Boot is off.
    assert.equal(status, 'warning')
    assert.deepEqual(namesOf(checks, 'warn'), ['secureBoot.enabled', 'secureBoot.setupMode'])
    assert.deepEqual(namesOf(checks, 'fail', 'indeterminate'), [])
    assert.deepEqual(linkChecks(checks), ALL_LINKED)
  })

  await t.test('its TPM goes on while its broker is dead, and it is linked again when there is another', async () => {
    await node.broker.command.kill()
    assert.match(await machine.run(SCRIPTS.random), /^[0-9a-f]{32}$/)
    const unlinked = await verdict(machine, newest, ({ status }) => status === 'contraindicated')
    assert.deepEqual(namesOf(unlinked.checks, 'fail', 'indeterminate'), ['link.present'])
    await node.startBroker()
    await node.broker.status('the broker to open its secrets', ({ state }) => state === 'ready')
    const { id, checks } = await verdict(machine, unlinked.id, ({ status }) => status === 'warning')
    newest = id
    assert.deepEqual(linkChecks(checks), ALL_LINKED)
  })

  await t.test(
    'one byte of the initramfs is noticed, by the register and the event that it is measured as',
    async () => {
      await machine.run('sync')
      await machine.kill()
      await waitFor('the TPM to be let go', node.broker.command, () => stopped(node.broker, guest))
      const tampered = await start('tampered', await tamper(stage, join(image, 'initrd.img')))
      await tampered.run(SCRIPTS.agent)
      const { status, checks } = await verdict(tampered, newest)
      assert.equal(status, 'contraindicated')
      assert.deepEqual(namesOf(checks, 'fail', 'indeterminate'), ['boot.files', 'pcr.9'])
      const { event } = checks.find(({ claim }) => claim === 'boot.files') ?? {}
      assert.equal(event?.pcr, 9)
      assert.match(event.summary, /initrd/)
      assert.deepEqual(linkChecks(checks), ALL_LINKED)
      await tampered.kill()
    },
  )

  await t.test('no control command of a machine was refused on the way', async () => {
    const audit = await auditOf(node.broker)
    assert.ok(audit.includes('"command":"Quote"'))
    assert.ok(!audit.includes('"command":"control '))
  })
})

/** Every entry of the audit log. */
async function auditOf({ stateDir }: Broker): Promise<string> {
  const directory = join(stateDir, 'audit')
  const found = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return (await Promise.all(files.map((file) => readFile(file, 'utf8')))).join('')
}

type Checks = AttestationDetail['checks']

function namesOf(checks: Checks, ...outcomes: readonly string[]): string[] {
  return checks.filter(({ outcome }) => outcomes.includes(outcome)).map(({ check, claim }) => claim ?? check)
}

const ALL_LINKED = ['batch', 'generation', 'host', 'host-boot', 'host-quote', 'host-state', 'ledger', 'present']

/** Which of them passed. */
function linkChecks(checks: Checks): string[] {
  const passed = checks.filter(({ check, outcome }) => check.startsWith('link.') && outcome === 'pass')
  return passed.map(({ check }) => check.slice('link.'.length)).sort()
}

/** `undefined` while the virtual machine's end has not come to the TPM. */
async function stopped(broker: Broker, guest: string): Promise<true | undefined> {
  try {
    await broker.stop(guest)
    return true
  } catch (error) {
    if (isTouchstoneError(error, 'guest.attached')) return undefined
    throw error
  }
}

/** Lines of a name and what it is. */
function factsOf(output: string): ReadonlyMap<string, string> {
  return new Map(
    output.split('\n').map((line) => {
      const [name = '', ...rest] = line.trim().split(' ')
      return [name, rest.join(' ')]
    }),
  )
}

const learned = z.looseObject({ spec: z.looseObject({}) })

/** What this boot measured, for guests alone, and with a link. */
async function applyPolicy(stage: Stage, environment: NodeJS.ProcessEnv, log: Buffer): Promise<void> {
  const [from, file] = [join(stage.directory, 'guest.log'), join(stage.directory, 'guest.yaml')]
  await writeFile(from, log)
  const policy = learned.parse(parse(await runCommand(['policy', 'learn', '--from', from, '--name', 'guest'])))
  const spec = { ...policy.spec, guest: { link: 'required' }, log: { ima: 'required' } }
  await writeFile(file, stringify({ ...policy, spec }))
  await runCommand(['apply', '-f', file], environment)
}

/**
 * Another time of compression, in the header of gzip: it unpacks to the same. A changed length would show in the kernel's
 * measurement too, because QEMU writes it into the kernel's header.
 */
async function tamper(stage: Stage, initrd: string): Promise<string> {
  const bytes = await readFile(initrd)
  bytes.writeUInt8(bytes.readUInt8(4) ^ 1, 4)
  const file = join(stage.directory, 'tampered.img')
  await writeFile(file, bytes)
  return file
}
