/** EVE's measure-config: `file:<path> exist:<bool>[ content-hash:<sha256>]`, one event a file of `/config`, PCR 14. */
const FORM = /^file:(.+?) exist:(true|false)(?: content-hash:([0-9a-f]{64}))?$/

export interface EveConfigFile {
  readonly path: string
  readonly exists: boolean
  /** SHA-256 of the content, where it was measured: keys and certificates of the node are not. */
  readonly contentHash?: string
}

export function readEveConfigFile(text: string): EveConfigFile | undefined {
  const [, path, exists, contentHash] = FORM.exec(text) ?? []
  if (path === undefined) return undefined
  return { path, exists: exists === 'true', ...(contentHash === undefined ? {} : { contentHash }) }
}
