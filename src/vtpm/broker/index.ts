export { readBrokerConfig } from './config.ts'
export { runBroker } from './run-broker.ts'
export type { BrokerStatus } from './status.ts'
export { brokerStatus } from './status.ts'
