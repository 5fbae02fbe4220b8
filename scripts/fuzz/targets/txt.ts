import { describeEventLog, parseEventLog, readAnyLog, REPLAY_BANKS } from '../../../src/eventlog/index.ts'
import { HASHES } from '../../../src/tpm/index.ts'
import { mutateTxtLog } from '../mutate/txt-log.ts'
import { u16, u32 } from '../mutate/tcg-parts.ts'
import { bootFile, BOOTS } from '../seeds.ts'
import { BrokenPromise, type Target } from '../target.ts'

const BANKS = ['sha1', 'sha256'] as const
const EV_NO_ACTION = 3
const LAUNCH = 17

/** Events of a recorded boot as a launch would have them: TCG_LOG_DESCRIPTOR, then one bank, in PCR 17 and 18. */
function legacyLog(log: Buffer, bank: (typeof BANKS)[number], events: number): Buffer {
  const size = HASHES[bank].size
  const descriptor = [u32(1), u32(BANKS.indexOf(bank) + 1), u32(size)]
  const header = [
    u32(0),
    u32(EV_NO_ACTION),
    Buffer.alloc(20),
    u32(28),
    Buffer.from('FRMT ID EVENT00\0', 'latin1'),
    ...descriptor,
  ]
  const measured = parseEventLog(log).events.filter(({ digests }) => digests.has(bank))
  const written = measured.slice(1, events).flatMap(({ digests, data }, at) => {
    return [
      u32(LAUNCH + (at % 2)),
      u32(0x401 + at),
      digests.get(bank) ?? Buffer.alloc(size),
      u32(data.byteLength),
      data,
    ]
  })
  return Buffer.concat([...header, ...written])
}

/** TXT_HEAP_EVENT_LOG_DESCR in front, as programs leave it that copy the log out of the heap. */
function described(log: Buffer): Buffer {
  const sizes = [u32(log.byteLength + 64), u32(0), u32(log.byteLength)]
  return Buffer.concat([u16(0x0b), u16(0), Buffer.alloc(8, 0x7f), ...sizes, log, Buffer.alloc(64)])
}

function hold(isTrue: boolean, promise: string): void {
  if (!isTrue) throw new BrokenPromise(promise)
}

export const txtTarget: Target = {
  name: 'txt',
  promise:
    'any bytes are the log of a dynamic launch, all of them its events and nothing twice, or refused with a code',
  seeds: () =>
    BOOTS.flatMap((boot) => BANKS.map((bank) => legacyLog(bootFile(boot, 'eventlog.bin'), bank, 16))).flatMap((log) => [
      log,
      described(log),
    ]),
  mutate: mutateTxtLog,
  run(input) {
    const log = readAnyLog(input)
    const { events, findings, banks } = log
    const features = [log.format, ...banks, ...findings.map(({ code, severity }) => `${code} ${severity}`)]
    const bank = REPLAY_BANKS.find((name) => name === banks[0])
    if (log.format !== 'txt-tpm2' || bank === undefined) return { features }
    const { size } = HASHES[bank]
    let at = (events[0]?.offset ?? 0) + 60
    for (const { pcr, digests, data, offset } of events.slice(1)) {
      const extend = input.subarray(at + 8, at + 8 + size)
      hold(offset === at && pcr === input.readUInt32LE(at), 'an event is not where the one before it ends')
      hold(digests.size === 1 && digests.get(bank)?.equals(extend) === true, 'a digest is not that of the log')
      hold(
        input.subarray(at + 12 + size, at + 12 + size + data.byteLength).equals(data),
        'a payload is not that of the log',
      )
      at += 12 + size + data.byteLength
    }
    hold(at <= input.byteLength, 'events are behind the end of the log')
    hold(at === input.byteLength || findings.length > 0, 'bytes behind the last event are not told of')
    const answer = describeEventLog(input)
    return { features: [...features, ...answer.events.map(({ type, binding }) => `${type} ${binding}`)], answer }
  },
}
