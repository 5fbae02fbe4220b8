import type { NodeId } from '../../src/core/index.ts'
import type { AcceptedEvidence, NewAttestation, NewNode, PriorState } from '../../src/store/index.ts'

/** A UUIDv7 that orders by `n`. */
export function id(n: number): NodeId {
  return `00000000-0000-7000-8000-${n.toString(16).padStart(12, '0')}` as NodeId
}

export function newNode(n: number, changes: Partial<NewNode> = {}): NewNode {
  return {
    nodeId: id(n),
    status: 'active',
    model: 'box',
    serial: `S${n}`,
    holdsIdentity: true,
    labels: { site: 'north' },
    admittedBy: 'open',
    ekSha256: `e${n}`.padStart(64, '0'),
    ekPublic: Buffer.from(`ek${n}`),
    akPublic: Buffer.from(`ak${n}`),
    akName: `000b${n.toString(16).padStart(4, '0')}`,
    devicePublic: Buffer.from(`device${n}`),
    deviceKeyName: `000c${n.toString(16).padStart(4, '0')}`,
    pcrBanks: ['sha1', 'sha256'],
    ...changes,
  }
}

export function evidence(n: number, prior: Partial<PriorState> = {}): AcceptedEvidence {
  return {
    akName: newNode(n).akName,
    attestation: id(0x1000 + n),
    prior: {
      nonceIssued: 1000,
      clock: 5000n,
      resetCount: 7,
      restartCount: 3,
      safe: true,
      firmwareVersion: 0xffff_ffff_ffff_fffen,
      ...prior,
    },
  }
}

export function attestation(n: number, node: number, changes: Partial<NewAttestation> = {}): NewAttestation {
  return {
    id: id(n),
    nodeId: id(node),
    purpose: 'attestation',
    time: n,
    freshFrom: n - 1,
    akName: 'ab',
    resetCount: 7,
    verdict: {
      status: 'contraindicated',
      vector: { configuration: 96 },
      checks: [
        { check: 'quote.nonce', outcome: 'pass' },
        { check: 'policy', outcome: 'fail', code: 'decode.value', expected: ['a'], actual: null },
      ],
    },
    inputs: { policy: 'ab' },
    quote: Buffer.from('q'),
    signature: Buffer.from('s'),
    ...changes,
  }
}
