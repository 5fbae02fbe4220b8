/** One TCG_PCClientTaggedEvent: PC Client Platform Firmware Profile 1.06 section 10.2.4. */
export interface TaggedEvent {
  readonly id: number
  readonly data: Buffer
}

/**
 * The tagged events of a payload, one level of them; `undefined` where they do not fill it. Windows nests them (and a
 * crafted log nests them without end), so nothing here recurses.
 */
export function decodeTaggedEvents(data: Buffer): TaggedEvent[] | undefined {
  const events: TaggedEvent[] = []
  let at = 0
  while (at < data.byteLength) {
    if (data.byteLength - at < 8) return undefined
    const size = data.readUInt32LE(at + 4)
    if (size > data.byteLength - at - 8) return undefined
    events.push({ id: data.readUInt32LE(at), data: data.subarray(at + 8, at + 8 + size) })
    at += 8 + size
  }
  return events
}
