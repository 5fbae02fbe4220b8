import {
  enumeration,
  list,
  nothing,
  restBytes,
  sizedBytes,
  struct,
  tagged,
  u16,
  u32,
  u8,
  type Codec,
  type Decoded,
} from '../../../../codec/index.ts'

/**
 * What broker and control keeper say to each other, over a socket that is the broker's own. Each message is a frame: its size
 * as u32, then a structure that fills it. A change of any message but HELLO takes a new number here, and an old
 * keeper goes on with the machines that it has: brokers know the protocols of all keepers that may still run.
 */
export const PROTOCOL = 1

/** The longest path has 107 bytes on a socket and 4095 in a state directory. */
const PATH = 4_096
const UUID = 36
const NAME = 64
const PROSE = 1_024
const FEATURES = 256
/** More than any message has. */
export const LARGEST_FRAME = 16_384

function text(max: number): Codec<string> {
  const bytes = sizedBytes(u16, { max })
  return {
    read: (reader) => bytes.read(reader).toString('utf8'),
    write: (writer, value) => bytes.write(writer, Buffer.from(value, 'utf8')),
  }
}

function optional<T>(codec: Codec<T>): Codec<T | undefined> {
  const items = list(u8, codec, { max: 1 })
  return {
    read: (reader) => items.read(reader)[0],
    write: (writer, value) => items.write(writer, value === undefined ? [] : [value]),
  }
}

const NO_YES = enumeration(u8, { no: 0, yes: 1 })
const flag: Codec<boolean> = {
  read: (reader) => NO_YES.read(reader) === 'yes',
  write: (writer, value) => NO_YES.write(writer, value ? 'yes' : 'no'),
}

/** As {@link ProcessIdentity}. */
const PROCESS = struct({ pid: u32, startTime: text(NAME), bootId: text(NAME) })

/** What a keeper must know of a TPM to serve its control socket. It has no key of anything. */
const EXPOSURE = struct({
  guest: text(UUID),
  attachment: enumeration(u8, { socket: 0, qemu: 1 }),
  /** Of the socket that the guest's side finds. */
  path: text(PATH),
  owner: optional(struct({ uid: u32, gid: u32 })),
  /** swtpm: its state, its own sockets, its user, and which process it is. */
  stateDir: text(PATH),
  socketDir: text(PATH),
  uid: optional(u32),
  swtpm: PROCESS,
  /** `off`: shut down in order, and nobody has it. Of a TPM that ran before, nobody knows. */
  power: enumeration(u8, { off: 0, unknown: 1 }),
})
export type Exposure = Decoded<typeof EXPOSURE>

const STATE = struct({
  guest: text(UUID),
  /** Which swtpm: its process id and start. */
  pid: u32,
  startTime: text(NAME),
  /** A virtual machine has the data channel. */
  attached: flag,
})
export type KeptState = Decoded<typeof STATE>

export const TO_KEEPER = tagged('type', enumeration(u8, { expose: 1, retract: 2, acknowledge: 3 }), {
  expose: struct({ id: u32, exposure: EXPOSURE }),
  /** Without `force`, not while a virtual machine is attached. */
  retract: struct({ id: u32, guest: text(UUID), force: flag }),
  /** This one was written down. */
  acknowledge: struct({ sequence: u32 }),
})
export type ToKeeper = Decoded<typeof TO_KEEPER>

export const FROM_KEEPER = tagged(
  'type',
  enumeration(u8, { exposed: 1, retracted: 2, failed: 3, state: 4, ready: 5, refused: 6, reset: 7 }),
  {
    exposed: struct({ id: u32, attached: flag }),
    /** `shutDown`: a power-off right now would find the TPM shut down, or not started. */
    retracted: struct({ id: u32, shutDown: flag }),
    failed: struct({ id: u32, why: enumeration(u8, { attached: 0, other: 1 }), message: text(PROSE) }),
    /** Of one guest, at the beginning and whenever it changes. */
    state: struct({ state: STATE }),
    /** All states of the beginning were told. */
    ready: nothing,
    refused: struct({
      sequence: u32,
      guest: text(UUID),
      /** A name, a number in hex, or for `control.missed` how many. */
      command: text(NAME),
      reason: enumeration(u8, {
        'control.refused': 0,
        'control.sequence': 1,
        'control.malformed': 2,
        'control.busy': 3,
        'control.missed': 4,
      }),
    }),
    /** A virtual machine was powered on or reset, for the `count`th time. */
    reset: struct({ guest: text(UUID), count: u32 }),
  },
)
export type FromKeeper = Decoded<typeof FROM_KEEPER>

/** A keeper's first frame, in every version for ever: later ones may only add to its end. */
export const HELLO = struct({ protocol: u16, pid: u32, build: text(NAME), later: restBytes })

/** What a keeper is started with, on its stdin. */
export const ORDERS = struct({
  /** Its own, and nobody else's. */
  dir: text(PATH),
  build: text(NAME),
  program: struct({
    path: text(PATH),
    prlimit: text(PATH),
    version: text(NAME),
    features: list(u16, text(NAME), { max: FEATURES }),
  }),
})
export type KeeperOrders = Decoded<typeof ORDERS>

/** In a keeper's directory: its socket, who it is, and its last words. */
export const KEEPER_FILES = { socket: 'sock', process: 'process', log: 'log' } as const

/** Cut to what a message has room for, in the longest encoding. */
export function prose(message: string): string {
  return message.slice(0, PROSE / 4)
}
