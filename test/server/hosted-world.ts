import assert from 'node:assert/strict'
import { parsePem } from '../../src/ca/path/index.ts'
import { decode } from '../../src/codec/index.ts'
import type { NodeId } from '../../src/core/index.ts'
import { quote } from '../../src/device/index.ts'
import { placeGuest } from '../../src/server/services/placements.ts'
import { nameOf, TPM2B_PUBLIC } from '../../src/tpm/index.ts'
import { openLinker, type LedgerRow } from '../../src/vtpm/link/linker.ts'
import { linkSelection } from '../../src/vtpm/link/selection.ts'
import { encodeIssueRequest, type EvidenceRequest, type LinkedEvidence } from '../../src/wire/index.ts'
import type { VendorCa } from '../../swtpm/index.ts'
import { testBox, type Cleanup } from './boxes.ts'
import { testNode } from './test-node.ts'
import type { TestVerifier } from './test-verifier.ts'

/** A machine of the vendor with its keys, switched on. */
export async function machine(t: Cleanup, vendor: VendorCa, serial: string) {
  const claim = { model: 'Edge One', serial }
  const box = await testBox(t, vendor, claim)
  const node = await testNode(box.powered, claim)
  t.after(node.close)
  return { box, node, keys: await node.makeKeys() }
}

export type Machine = Awaited<ReturnType<typeof machine>>

/** What a guest is to the tests: a TPM of its own, with the UUID that its hypervisor calls it. */
export interface TestGuest extends Machine {
  readonly id: string
}

export const ekNameOf = ({ node }: Machine) => nameOf(decode('EK', TPM2B_PUBLIC, node.ek.publicArea))

/** A machine at this verifier, and the broker's part of it: a ledger, a linker, the AK of the node. */
export async function hostAt({ app, deps }: TestVerifier, { node, keys }: Machine) {
  const { nodeId } = await node.onboard(app, keys)
  const attest = (asks: EvidenceRequest = {}) => node.attest(app, nodeId, keys, asks)
  let rows: readonly LedgerRow[] = []
  let signed = 0
  const linker = openLinker({
    hostQuote: async (qualifyingData) => {
      signed += 1
      const { pcrs } = await node.ask(app, nodeId, keys)
      const made = await quote(node.tools, keys.ak, linkSelection(pcrs), qualifyingData)
      return { host: nodeId, quote: made.attest, signature: made.signature }
    },
    ledger: { entries: () => rows },
    now: () => Date.now(),
  })
  return {
    nodeId: nodeId as NodeId,
    attest,
    linker,
    signatures: () => signed,
    /** The ledger now says that these run, each at that generation. */
    run(...running: readonly (readonly [TestGuest, number])[]) {
      const entries = running.map(([guest, generation]) => ({
        guest: guest.id,
        generation,
        ekName: ekNameOf(guest),
        state: 'running',
      }))
      rows = entries.sort((a, b) => (a.guest < b.guest ? -1 : 1))
    },
    /** An operator places the guest here. */
    place: (guest: TestGuest) =>
      placeGuest(deps, { guest: guest.id, node: nodeId, tenant: undefined, actor: 'operator:test' }),
    /** The broker obtains a certificate for the guest's EK, through the gate: DER. */
    async certify(guest: TestGuest, generation: number): Promise<Buffer> {
      const request = encodeIssueRequest('guestEk', {
        guest: guest.id,
        tenant: 'default',
        generation,
        ekPublic: guest.node.ek.publicArea,
      })
      const { issued } = await attest({ obtain: { kind: 'guestEk', request } })
      assert.equal(issued?.kind, 'guestEk')
      const [certificate] = parsePem(issued.certificate)
      assert.ok(certificate)
      return certificate.der
    },
  }
}

export type TestHost = Awaited<ReturnType<typeof hostAt>>

/** A guest that is placed on the host, certified there and enrolled. */
export async function guestAt({ app }: TestVerifier, guest: TestGuest, host: TestHost, generation = 1) {
  await host.place(guest)
  const certificate = await host.certify(guest, generation)
  const { nodeId } = await guest.node.onboard(app, guest.keys, certificate)
  const evidence = async () => guest.node.evidenceFor(nodeId, guest.keys, await guest.node.ask(app, nodeId, guest.keys))
  const submit = (body: object) => guest.node.submit(app, body)
  return {
    nodeId,
    certificate,
    evidence,
    submit,
    /** One round, with a link from that host where one is given. */
    async attest(by?: TestHost) {
      const body = await evidence()
      const link: LinkedEvidence | undefined = by === undefined ? undefined : await by.linker.link(guest.id, body)
      return submit({ ...body, link })
    },
  }
}
