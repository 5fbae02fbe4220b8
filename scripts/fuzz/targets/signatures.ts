import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readAppendedSignature } from '../../../src/attest/appended-signature.ts'
import { parseImaLog } from '../../../src/eventlog/index.ts'
import { appraiseIma, checksNamed, imaPolicy } from '../../../test/attest/ima-case.ts'
import { digestOf, imaEntry, labelled } from '../../../test/eventlog/build-ima-log.ts'
import { root } from '../../stage/processes.ts'
import { mutateSignedEntry } from '../mutate/signed-entry.ts'
import { joinParts, splitParts } from '../parts.ts'
import { BrokenPromise, type Target } from '../target.ts'

const recorded = (name: string): Buffer => readFileSync(join(root, 'test', 'fixtures', 'ima', name))

/** What a kernel measures of a file that ends with a signature over `module`. */
function appended(signature: string): Buffer[] {
  const whole = labelled(digestOf('sha256', signature))
  const content = labelled(digestOf('sha256', 'module'))
  return [Buffer.from('ima-modsig'), whole, Buffer.from('/m.ko\0'), Buffer.alloc(0), content, recorded(signature)]
}

/** Of the log that a kernel wrote, the files that somebody signed: portably, or in security.ima. */
function portable(): Buffer[][] {
  const log = recorded('evm-sig.bin')
  const [, ...files] = parseImaLog(log).entries
  return files
    .map(({ template, offset }, at) => {
      // Register, digest, the template behind its length; then the fields behind theirs.
      const data = log.subarray(offset + 4 + 20 + 4 + template.length + 4, files[at + 1]?.offset)
      return [Buffer.from(template), ...splitParts(data)]
    })
    .filter((parts) => !parts.some((part) => part.includes('busybox')))
}

function stage() {
  const pems = ['evm-sig.pem', 'appended.pem'].map((name) => recorded(name).toString())
  const keys = pems.map((pem, at) => `{ name: k${at}, publicKey: ${JSON.stringify(pem)} }`)
  const seeds = [...['appended.p7s', 'appended-attributes.p7s'].map(appended), ...portable()]
  return { policy: imaPolicy(`keys: [${keys.join(', ')}]`), seeds, vouched: new Set(seeds.map(vouchedOf)) }
}

/** The template, and its list of fields. */
const APPENDED: ReadonlySet<string> = new Set(['ima-modsig', 'd-ng|n-ng|sig|d-modsig|modsig'])

/** What a signature is over: the digest of the content; of a portable one the attributes, owner and mode, too. */
function vouchedOf([template, ...fields]: readonly Buffer[]): string {
  if (APPENDED.has(template?.toString() ?? '')) return hex([fields[3]])
  const [digest, , , , , values, uid, gid, mode] = fields
  // security.ima that is a signature itself (type 3) is over the content, whatever else the file has.
  const isContents = values?.[0] === 3
  return hex(isContents ? [digest] : [digest, values, uid, gid, mode])
}

function hex(parts: readonly (Buffer | undefined)[]): string {
  return parts.map((part) => part?.toString('hex') ?? '').join(' ')
}

let known: ReturnType<typeof stage> | undefined

export const signaturesTarget: Target = {
  name: 'signatures',
  promise:
    'a file counts as signed only with the content, and behind a portable signature the metadata, that were signed',
  seeds: () => (known ??= stage()).seeds.map((parts) => joinParts(parts)),
  mutate: mutateSignedEntry,
  run(input) {
    const { policy, vouched } = (known ??= stage())
    const parts = splitParts(input)
    const [template, ...fields] = parts
    if (template === undefined) return { features: [] }
    const appraisal = appraiseIma(policy, [imaEntry({ template: template.toString('latin1'), fields })])
    const checks = checksNamed(appraisal, 'ima.files')
    const isSigned = checks.length > 0 && checks.every(({ outcome }) => outcome === 'pass')
    if (isSigned && !vouched.has(vouchedOf(parts)) && !vouched.has(hex([fields[0]]))) {
      throw new BrokenPromise('what nobody signed is signed')
    }
    const reasons = checks.map(({ outcome, code, actual }) => {
      const reason = typeof actual === 'string' ? actual.replaceAll(/\d+/g, '').slice(0, 120) : ''
      return `${outcome} ${code ?? ''} ${reason}`
    })
    const read = readAppendedSignature(parts.at(-1) ?? Buffer.alloc(0))
    const reading = typeof read === 'string' ? read.replaceAll(/\d+/g, '') : `${read.hash} ${read.keyType}`
    return { features: [...reasons, reading], answer: checks }
  },
}
