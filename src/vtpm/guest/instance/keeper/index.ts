export type { Keepers } from './keepers.ts'
export { openKeepers } from './keepers.ts'
export type { Exposure } from './protocol.ts'
