import { z } from 'zod'
import { TouchstoneError } from '../core/index.ts'
import { checkShape, statusShape } from './checks.ts'
import { bytes, flag, hex, integer, json, nodeId, PCR_BANKS, readRow, u64 } from './columns.ts'
import type { GuestBinding, NodeRecord } from './node-record.ts'

const row = z.object({
  id: nodeId,
  kind: z.enum(['node', 'guest']),
  guestId: z.string().nullable(),
  hostNodeId: nodeId.nullable(),
  status: z.enum(['pending', 'active', 'suspended']),
  model: z.string(),
  serial: z.string(),
  holdsIdentity: flag,
  labels: json(z.record(z.string(), z.string())),
  admittedBy: z.string(),
  ekSha256: hex,
  ekPublic: bytes,
  akPublic: bytes,
  akName: hex,
  devicePublic: bytes,
  deviceKeyName: hex,
  pcrBanks: json(z.array(z.enum(PCR_BANKS))),
  created: integer,
  enrolled: integer,
  lastNonceIssued: integer.nullable(),
  lastClock: u64.nullable(),
  lastResetCount: integer.nullable(),
  lastRestartCount: integer.nullable(),
  lastSafe: flag.nullable(),
  lastFirmwareVersion: u64.nullable(),
  lastEventLog: hex.nullable(),
  lastAttestation: z.string().nullable(),
  reenrolAkName: hex.nullable(),
  reenrolDeviceKeyName: hex.nullable(),
  reenrolRequested: integer.nullable(),
  reenrolApproved: integer.nullable(),
  attestedAt: integer.nullable(),
  attestedStatus: statusShape.nullable(),
  attestedFailure: json(checkShape).nullable(),
})

type Row = z.output<typeof row>

export function readNode(raw: unknown): NodeRecord | undefined {
  if (raw === undefined) return undefined
  const node = readRow('nodes', row, raw)
  const { guest, eventLog, lastAttestation, prior, reEnrolment } = parts(node)
  return {
    nodeId: node.id,
    ...(guest === undefined ? {} : { guest }),
    status: node.status,
    model: node.model,
    serial: node.serial,
    holdsIdentity: node.holdsIdentity,
    labels: node.labels,
    admittedBy: node.admittedBy,
    ekSha256: node.ekSha256,
    ekPublic: node.ekPublic,
    akPublic: node.akPublic,
    akName: node.akName,
    devicePublic: node.devicePublic,
    deviceKeyName: node.deviceKeyName,
    pcrBanks: node.pcrBanks,
    created: node.created,
    enrolled: node.enrolled,
    ...(prior === undefined ? {} : { prior }),
    ...(eventLog === null ? {} : { eventLog }),
    ...(lastAttestation === undefined ? {} : { lastAttestation }),
    ...(reEnrolment === undefined ? {} : { reEnrolment }),
  }
}

/** Columns that are null together make one optional field. */
function parts(node: Row) {
  return {
    guest: guestOf(node),
    eventLog: node.lastEventLog,
    prior:
      node.lastNonceIssued === null ||
      node.lastClock === null ||
      node.lastResetCount === null ||
      node.lastRestartCount === null ||
      node.lastSafe === null ||
      node.lastFirmwareVersion === null
        ? undefined
        : {
            nonceIssued: node.lastNonceIssued,
            clock: node.lastClock,
            resetCount: node.lastResetCount,
            restartCount: node.lastRestartCount,
            safe: node.lastSafe,
            firmwareVersion: node.lastFirmwareVersion,
          },
    lastAttestation:
      node.lastAttestation === null || node.attestedAt === null || node.attestedStatus === null
        ? undefined
        : {
            id: node.lastAttestation,
            time: node.attestedAt,
            status: node.attestedStatus,
            ...(node.attestedFailure === null ? {} : { firstFailure: node.attestedFailure }),
          },
    reEnrolment:
      node.reenrolAkName === null || node.reenrolDeviceKeyName === null || node.reenrolRequested === null
        ? undefined
        : {
            akName: node.reenrolAkName,
            deviceKeyName: node.reenrolDeviceKeyName,
            requested: node.reenrolRequested,
            ...(node.reenrolApproved === null ? {} : { approved: node.reenrolApproved }),
          },
  }
}

/** A record of the one kind that has the other's columns is nobody's. */
function guestOf({ kind, guestId, hostNodeId }: Row): GuestBinding | undefined {
  if (kind === 'node' && guestId === null && hostNodeId === null) return undefined
  if (kind === 'guest' && guestId !== null && hostNodeId !== null) return { guestId, hostNodeId }
  throw new TouchstoneError('store.row', `a row of nodes cannot be read: kind ${kind} with another kind's columns`)
}
