export type { NodeAkBlob } from './node-ak.ts'
export { loadNodeAk } from './node-ak.ts'
export type { RootsOptions } from './roots.ts'
export { openRoots } from './roots.ts'
export { provisionedReleaseKey } from './roots-file.ts'
export { openTpmClient } from './tpm-client.ts'
export type {
  Attestation,
  Authorisations,
  Entity,
  HandleArgument,
  HardwareCounter,
  LoadedObject,
  NodeAk,
  RefusedRelease,
  Roots,
  SatisfiedRelease,
  SealedBlob,
  SessionUse,
  TpmClient,
  TpmScope,
  TpmSession,
  TransportKey,
} from './types.ts'
