import { DEVICE_PATH_NODES, unknownNode } from './device-path-nodes.ts'

/** Longer paths exist nowhere; the rest of a longer one is not shown. */
const MAX_NODES = 64
const HEADER = 4
const END = 0x7f
const END_ENTIRE = 0xff

/**
 * A device path as text, in the spelling of UEFI 2.10 section 10.6.1.6 as far as a node type is in the table, else
 * `Path(type,subtype,hex)`. Total: what cannot be read is shown as `…`. Device paths are never measured by themselves,
 * so this is for people only, unless the payload around it is bound. O(bytes).
 */
export function devicePathText(bytes: Buffer): string {
  const parts: string[] = []
  let text = ''
  let at = 0
  for (let nodes = 0; at < bytes.byteLength; nodes++) {
    if (isCutEnd(bytes, at)) break
    const node = nodes === MAX_NODES ? undefined : nodeAt(bytes, at)
    if (node === undefined) return [...parts, `${text}…`].join(',')
    at = node.end
    if (node.type === END) {
      if (node.subtype === END_ENTIRE) break
      parts.push(text)
      text = ''
      continue
    }
    const row = DEVICE_PATH_NODES.get((node.type << 8) | node.subtype)
    const data = bytes.subarray(node.dataAt, node.end)
    const known = row !== undefined && data.byteLength >= row[0]
    const shown = known ? row[1](data) : unknownNode(node.type, node.subtype, data)
    text += text === '' || shown.startsWith('\\') ? shown : `/${shown}`
  }
  return [...parts, text].join(',')
}

/** Whether the bytes are nodes, an end node last, or the two bytes that a known firmware leaves of it. */
export function isDevicePath(bytes: Buffer): boolean {
  return devicePathLength(bytes) === bytes.byteLength
}

/** How many bytes the path at the start of `bytes` takes, its end node included; `undefined` where there is none. */
export function devicePathLength(bytes: Buffer): number | undefined {
  let at = 0
  for (let nodes = 0; at < bytes.byteLength && nodes < MAX_NODES; nodes++) {
    if (isCutEnd(bytes, at)) return nodes > 0 ? at + 2 : undefined
    const node = nodeAt(bytes, at)
    if (node === undefined) return undefined
    if (node.type === END && node.subtype === END_ENTIRE) return node.end
    at = node.end
  }
  return undefined
}

interface Node {
  readonly type: number
  readonly subtype: number
  /** Where its data begins, and ends. */
  readonly dataAt: number
  readonly end: number
}

function nodeAt(bytes: Buffer, at: number): Node | undefined {
  if (bytes.byteLength - at < HEADER) return undefined
  const length = bytes.readUInt16LE(at + 2)
  // A length below the header's own would never advance: the classic endless loop of device-path readers.
  if (length < HEADER || length > bytes.byteLength - at) return undefined
  return { type: bytes[at] ?? 0, subtype: bytes[at + 1] ?? 0, dataAt: at + HEADER, end: at + length }
}

/** Firmware of Intel's NUCs leaves the length of the end node out. */
function isCutEnd(bytes: Buffer, at: number): boolean {
  return bytes.byteLength - at === 2 && bytes[at] === END && bytes[at + 1] === END_ENTIRE
}
