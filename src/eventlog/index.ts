export type { AnnotatedEvent, Binding } from './annotate.ts'
export { annotate, bindingOf } from './annotate.ts'
export type { DescribedEvent, EventLogDescription } from './describe.ts'
export { describeEventLog } from './describe.ts'
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
export type { BootAggregate } from './ima/boot-aggregate.ts'
export { bootAggregate } from './ima/boot-aggregate.ts'
export { imaFindings } from './ima/ima-findings.ts'
export type { ImaEntry, ImaLog } from './ima/parse-ima-log.ts'
export { parseImaLog } from './ima/parse-ima-log.ts'
export type { ImaExtension, ImaMatch, ImaReplay } from './ima/replay-ima-log.ts'
export { extensionsOf, imaPrefixValues, matchImaLog, replayImaLog } from './ima/replay-ima-log.ts'
export type { ImaMeasurement } from './ima/templates.ts'
export { imaMeasurement } from './ima/templates.ts'
export type { EventLog, Finding, LogEvent, LogFormat, RegisterKind, ReplayBank, Severity } from './log.ts'
export { preferredBank, REPLAY_BANKS } from './log.ts'
export { parseEventLog } from './parse.ts'
export type { ReplayedLog } from './replay.ts'
export { registerValue, replayEventLog } from './replay.ts'
export { eventRef } from './summary.ts'
