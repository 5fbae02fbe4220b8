export type { AlgorithmIdentifier, Certificate, Extension } from './certificate.ts'
export {
  parseCertificate,
  parsePem,
  readAlgorithm,
  readCertificate,
  readExtensions,
  readSpki,
  toPem,
} from './certificate.ts'
export type { ChainOptions, PathFailure, PathFailureCode } from './check-chain.ts'
export {
  constructedTag,
  primitiveTag,
  readAll,
  readAny,
  readBitStringBytes,
  readElement,
  readInteger,
  readOctetString,
  readOid,
  readOptional,
  readRaw,
  readSmallInteger,
  TAG,
} from './der.ts'
export type { KeyUsage } from './extensions.ts'
export {
  authorityKeyIdOf,
  basicConstraintsOf,
  directoryNamesOf,
  extendedKeyUsageOf,
  keyUsageBit,
  policiesOf,
  readBasicConstraints,
  subjectKeyIdOf,
  urisOf,
} from './extensions.ts'
export type { Name } from './name.ts'
export { describeName, isSameName, readName } from './name.ts'
export { OID } from './oid.ts'
export type { SignatureProblem } from './signature.ts'
export { signatureProblem } from './signature.ts'
export type { PathOptions, PathResult, ValidPath } from './validate-path.ts'
export { validatePath } from './validate-path.ts'
