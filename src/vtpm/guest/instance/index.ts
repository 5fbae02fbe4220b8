export { openSwtpmInstances } from './instances.ts'
export type {
  Attachment,
  GuestEk,
  Instance,
  InstanceEnd,
  KeeperNews,
  LaunchOptions,
  ManufacturedTpm,
  RefusedControl,
  SwtpmInstances,
  SwtpmInstancesOptions,
} from './types.ts'
