import { equalBytes, TouchstoneError } from '../core/index.ts'
import type { NodeId } from '../core/index.ts'
import type { Door, IssuanceNode, IssuedCertificate } from './issue.ts'
import type { Certificate } from './path/index.ts'
import { makeAkCertificate, makeDeviceCertificate } from './profile/nodes.ts'
import type { Issuer } from './profile/write-certificate.ts'
import { parseRequest } from './request.ts'

/** How long what is issued lives. */
export interface Lifetimes {
  /** Milliseconds that certificates live, cut to the issuer's end. */
  readonly lifetime: number
  /** Milliseconds before now at which certificates begin, for nodes whose clock is behind. */
  readonly backdate: number
}

export interface DeviceDoor extends Lifetimes {
  readonly issuer: Issuer
  /** 32 bytes from a CSPRNG: two serial numbers. */
  readonly random: Uint8Array
  /** Records what is issued, before anybody is given it. */
  readonly record: (nodeId: NodeId, certificates: readonly IssuedCertificate[]) => Promise<void>
}

export interface IssuedPair {
  readonly device: Certificate
  readonly ak: Certificate
}

/**
 * The certificates of the node itself, device key and AK. The request is PKCS#10 (DER), signed by the enrolled device
 * key: `issue.request_signature`, `issue.other_key`.
 */
export function deviceDoor({ issuer, random, record, lifetime, backdate }: DeviceDoor): Door<IssuedPair> {
  if (random.byteLength !== 32) throw new RangeError('two certificates need 32 random bytes')
  return {
    kind: 'device',
    open: async ({ node, request, now }) => {
      requireOwnRequest(node, request)
      const { nodeId, nodeSerial, hardware, tpm } = node
      const validity = { notBefore: now - backdate, notAfter: now + lifetime }
      const device = await makeDeviceCertificate(issuer, {
        ...validity,
        serial: random.subarray(0, 16),
        nodeId,
        nodeSerial,
        hardware,
        spki: node.deviceSpki,
      })
      const ak = await makeAkCertificate(issuer, {
        ...validity,
        serial: random.subarray(16),
        nodeId,
        tpm,
        spki: node.akSpki,
      })
      await record(nodeId, [
        { kind: 'device', certificate: device },
        { kind: 'ak', certificate: ak },
      ])
      return { device, ak }
    },
  }
}

function requireOwnRequest(node: IssuanceNode, request: Uint8Array): void {
  const { spki, signatureProblem } = parseRequest(request)
  if (signatureProblem !== undefined) throw new TouchstoneError('issue.request_signature')
  if (!equalBytes(spki, node.deviceSpki)) throw new TouchstoneError('issue.other_key')
}
