export type { AnnotatedEvent, Binding } from './annotate.ts'
export { annotate, bindingOf } from './annotate.ts'
export type { BootClaims } from './claims/boot-claims.ts'
export type { BoundClaims, PlainValue } from './claims/bound-claims.ts'
export { boundClaims } from './claims/bound-claims.ts'
export type { ClaimRow, ClaimType } from './claims/claim-catalogue.ts'
export { CLAIMS } from './claims/claim-catalogue.ts'
export type { Claim, ListClaim } from './claims/claim.ts'
export { bootClaims } from './claims/derive.ts'
export type { DescribedEvent, EventLogDescription } from './describe.ts'
export { describeEventLog } from './describe.ts'
export { commonBank, diffLogs } from './diff/diff-logs.ts'
export type {
  ChangeKind,
  DiffedEvent,
  EventChange,
  FieldChange,
  LogDiff,
  RegisterDiff,
  SubjectKind,
} from './diff/log-diff.ts'
export type { BootStage } from './diff/boot-stage.ts'
export type { WordRun } from './diff/words.ts'
export { eventTypeName } from './event-types.ts'
export type {
  AuthorityFact,
  BootFacts,
  CertificateFact,
  EventPlace,
  ImageFact,
  KeyDatabaseFact,
  SecureBootFacts,
  TextFact,
} from './facts/boot-facts.ts'
export { bootFacts } from './facts/derive.ts'
export { structuralFindings } from './findings/structural-findings.ts'
export type { ImaSource } from './ima/ascii-ima-log.ts'
export { binaryImaChunks, isAsciiImaLog } from './ima/ascii-ima-log.ts'
export type { BootAggregate } from './ima/boot-aggregate.ts'
export { bootAggregate } from './ima/boot-aggregate.ts'
export type { DeviceTable } from './ima/device-mapper.ts'
export { deviceMapperEvent, readDeviceRename, readDeviceTable } from './ima/device-mapper.ts'
export { imaFindings, templateFault } from './ima/ima-findings.ts'
export type { ImaCursor, ImaEntry, ImaPosition } from './ima/ima-reader.ts'
export { imaReader } from './ima/ima-reader.ts'
export type { ImaExtension, ImaRegister } from './ima/ima-register.ts'
export { extensionsOf, imaRegister, isDigestRight } from './ima/ima-register.ts'
export type { ImaSignature } from './ima/ima-signature.ts'
export { readImaDigest, readImaSignature, readPortableSignature } from './ima/ima-signature.ts'
export type { ImaLog } from './ima/parse-ima-log.ts'
export { parseImaLog } from './ima/parse-ima-log.ts'
export { replayImaLog } from './ima/replay-ima-log.ts'
export type { FieldPlaces, ImaMeasurement } from './ima/templates.ts'
export { digestStart, fieldPlaces, imaMeasurement, measurementOf } from './ima/templates.ts'
export type { EventLog, Finding, LogEvent, LogFormat, RegisterKind, ReplayBank, Severity } from './log.ts'
export { preferredBank, REPLAY_BANKS } from './log.ts'
export { parseEventLog, readAnyLog } from './parse.ts'
export type { ReplayedLog } from './replay.ts'
export { registerValue, replayEventLog } from './replay.ts'
export { eventRef } from './summary.ts'
export type { UserspaceLog } from './systemd/userspace-log.ts'
export { extendsBank, isSystemdsText, joinUserspaceLog, parseUserspaceLog } from './systemd/userspace-log.ts'
