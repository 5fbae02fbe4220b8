import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { execa } from 'execa'
import pino from 'pino'
import { readAgentConfig, type AgentEvent } from '../../src/agent/index.ts'
import { openNodeSession } from '../../src/agent/node-session.ts'
import { openState } from '../../src/agent/state.ts'
import { parsePem } from '../../src/ca/path/index.ts'
import { decode } from '../../src/codec/index.ts'
import { createEk, loadKey, openTpmTools, quote } from '../../src/device/index.ts'
import { buildApp } from '../../src/server/index.ts'
import { parseServerConfig } from '../../src/server/config.ts'
import { serverKeyPair } from '../../src/server/server-certificate.ts'
import { placeGuest } from '../../src/server/services/placements.ts'
import { nameOf, TPM2B_PUBLIC } from '../../src/tpm/index.ts'
import { linkSelection, openLinker, serveLink } from '../../src/vtpm/link/index.ts'
import { encodeIssueRequest } from '../../src/wire/index.ts'
import { boxDirectory, honestPolicy, testBox, testVendor } from './boxes.ts'
import { testVerifier } from './test-verifier.ts'

const guestId = '11111111-0000-4000-8000-000000000001'
const P384_INDEX = '0x01c00016'

test('a guest with an agent that knows nothing of guests attests like a node, linked to its host by real TPMs', async (t) => {
  const { vendor, ekRoots } = await testVendor(t)
  const policy = await honestPolicy()
  const forGuests = policy
    .replace('name: honest', 'name: guests')
    .replace('spec:\n', 'spec:\n  guest: { link: required }\n')
  const verifier = await testVerifier(t, {
    policies: [policy, forGuests],
    ekRoots,
    settings: { admission: 'vendor-ek' },
  })
  const { deps } = verifier
  const config = parseServerConfig('dataDir: /nowhere\nadmission: open', '/nowhere/x.yaml')
  const app = await buildApp(deps, await serverKeyPair(config, deps.ca, Date.now(), randomBytes))
  t.after(() => app.close())
  const url = (await app.listen({ host: '127.0.0.1', port: 0 })).replace(/^http:/, 'https:')

  const directory = boxDirectory(t)
  writeFileSync(join(directory, 'root.pem'), verifier.root)
  const agentOf = async (name: string, box: Awaited<ReturnType<typeof testBox>>, more: readonly string[] = []) => {
    const { tcti, eventLog, imaLog } = box.powered
    const lines = [
      `verifier: ${url}`,
      'trustAnchor: root.pem',
      `stateDir: ${name}`,
      `tcti: ${tcti}`,
      `eventLog: ${eventLog}`,
      `imaLog: ${imaLog}`,
      'model: Edge One',
      `serial: ${name}`,
      ...more,
    ]
    writeFileSync(join(directory, `${name}.yaml`), lines.join('\n'))
    const events: AgentEvent[] = []
    const session = await openNodeSession(await readAgentConfig(join(directory, `${name}.yaml`)), {
      logger: pino({ level: 'silent' }),
      onEvent: (event) => events.push(event),
    })
    return { session, events }
  }

  // The host: attests, and its broker obtains a certificate for the guest's EK on a quote over that very request.
  const hostBox = await testBox(t, vendor, { model: 'Edge One', serial: 'host' })
  const guestBox = await testBox(t, vendor, { model: 'VM', serial: 'guest' })
  const host = await agentOf('host', hostBox)
  const { nodeId } = await host.session.enrol()
  assert.equal((await host.session.attest({})).status, 'affirming')
  await placeGuest(deps, { guest: guestId, node: nodeId, tenant: undefined, actor: 'operator:test' })
  const guestTools = await openTpmTools(guestBox.powered.tcti)
  const { publicArea: ekPublic } = await createEk(guestTools, 'H-3')
  await guestTools.close()
  const request = encodeIssueRequest('guestEk', { guest: guestId, tenant: 'default', generation: 1, ekPublic })
  const issued = await host.session.obtain({ kind: 'guestEk', request })
  assert.equal(issued.kind, 'guestEk')
  const [certificate] = parsePem(issued.certificate)
  assert.ok(certificate)

  // Written where the TCG says that an EK's certificate lies, as a manufacturer does it.
  const file = join(directory, 'ek.der')
  writeFileSync(file, certificate.der)
  const env = { TPM2TOOLS_TCTI: guestBox.powered.tcti }
  await execa('tpm2_nvundefine', ['-C', 'p', P384_INDEX], { env })
  const attributes = 'ppwrite|ppread|ownerread|authread|no_da|platformcreate'
  await execa('tpm2_nvdefine', ['-C', 'p', '-s', String(certificate.der.byteLength), '-a', attributes, P384_INDEX], {
    env,
  })
  await execa('tpm2_nvwrite', ['-C', 'p', '-i', file, P384_INDEX], { env })

  // The broker's link socket, with the host's AK beside the agent that made it.
  const { pcrs } = await host.session.attestationKey()
  await host.session.close()
  const keys = await (await openState(join(directory, 'host'))).readKeys()
  assert.ok(keys !== undefined && pcrs !== undefined)
  const tools = await openTpmTools(hostBox.powered.tcti)
  t.after(() => tools.close())
  const ak = await loadKey(tools, await createEk(tools, keys.ekKind), 'ak', keys.attestation)
  const ekName = nameOf(decode('EK', TPM2B_PUBLIC, ekPublic))
  const rows = [{ guest: guestId, generation: 1, ekName, state: 'running' }]
  const linker = openLinker({
    hostQuote: async (qualifyingData) => {
      const { attest, signature } = await quote(tools, ak, linkSelection(pcrs), qualifyingData)
      return { host: nodeId, quote: attest, signature }
    },
    ledger: { entries: () => rows },
    now: () => Date.now(),
  })
  const socket = join(directory, 'link.sock')
  const served = await serveLink({ path: socket, guest: guestId, linker })

  const guest = await agentOf('guest', guestBox, ['link: unix:link.sock'])
  t.after(() => guest.session.close())
  const enrolment = await guest.session.enrol()
  const record = await verifier.store.nodes.byId(enrolment.nodeId)
  assert.deepEqual(record?.guest, { guestId, hostNodeId: nodeId })
  assert.equal((await guest.session.attest({})).status, 'affirming')
  assert.deepEqual(
    guest.events.filter(({ type }) => type === 'unlinked'),
    [],
  )

  // A broker that is gone keeps nobody from attesting; what that is worth is for the policy to say.
  await served.close()
  const unlinked = await guest.session.attest({})
  assert.equal(unlinked.status, 'contraindicated')
  assert.match(unlinked.reason ?? '', /Policy asks for linked evidence/)
  assert.equal(guest.events.filter(({ type }) => type === 'unlinked').length, 1)
})
