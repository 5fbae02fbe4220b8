import { destination, type DestinationStream, type Logger, pino } from 'pino'

/** Fields that never reach a log, wherever in an entry's first levels they stand. */
const SECRETS = ['authorization', 'token', 'secret', 'passphrase', 'password', 'proof', 'cookie']

/**
 * JSON lines on stderr, written at once so that the last ones before a crash are there. Requests are logged without
 * their headers; the redaction is the second line, for what somebody adds later.
 */
export function makeLogger(level: string, stream: DestinationStream = destination({ dest: 2, sync: true })): Logger {
  return pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      redact: {
        paths: SECRETS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`, `*.*.*.${name}`]),
        censor: '[secret]',
      },
      serializers: {
        req: ({ method, url, id, ip }: { method: string; url: string; id: string; ip: string }) => ({
          id,
          method,
          path: url.split('?', 1)[0],
          from: ip,
        }),
      },
    },
    stream,
  )
}
