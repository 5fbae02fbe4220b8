import { cosText } from './cel/cos.ts'
import { CONTENT_COS, CONTENT_IMA_TEMPLATE } from './event-types.ts'
import { imaText } from './ima-log.ts'
import type { LogEvent } from './log.ts'

/** One line on an event that is not the TCG's, from its payload alone; `undefined` where the payload is plain text. */
export function foreignText(event: LogEvent): string | undefined {
  switch (event.type) {
    case CONTENT_IMA_TEMPLATE:
      return imaText(event)
    case CONTENT_COS:
      return cosText(event.data)
    default:
      return undefined
  }
}
