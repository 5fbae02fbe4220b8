import type { AnnotatedEvent } from '../annotate.ts'
import { eventTypeName, isMeasuredType } from '../event-types.ts'
import { devicePathText } from '../payload/device-path.ts'
import { decodeImageLoad } from '../payload/image.ts'
import { decodeSignatureLists } from '../payload/signature-list.ts'
import { labelText } from '../payload/text.ts'
import { decodeVariable, type EfiVariable } from '../payload/variable.ts'
import { readEveConfigFile } from '../payload/eve-config.ts'
import { summaryOf } from '../summary.ts'
import { bootNumber } from '../variables.ts'
import type { WriterRole } from '../writers.ts'
import type { SubjectKind } from './log-diff.ts'

/** What an event is about, and by what it is recognised in the other log once its digest is not there. */
export interface Subject {
  readonly kind: SubjectKind
  /** For people. */
  readonly name: string
  /** Equal for what takes the place of the event anywhere in the register; empty: nothing does. */
  readonly identity: string
  /** Equal for what takes its place at the same spot of the register; empty: nothing does. */
  readonly role: string
}

/** Reads what the digest vouches for where the event is bound, and what the log says otherwise. O(payload). */
export function subjectOf(annotated: AnnotatedEvent): Subject {
  const { event, content, type } = annotated
  if (!isMeasuredType(event.type, event.pcr)) {
    const name = noActionName(event.data)
    return { kind: 'other', name, identity: `no action ${event.pcr} ${name}`, role: '' }
  }
  switch (content?.kind) {
    case 'separator':
      return { kind: 'separator', name: 'separator', identity: 'separator', role: '' }
    case 'action':
      return { kind: 'action', name: 'action', identity: '', role: '' }
    case 'gpt':
      return { kind: 'partitions', name: 'GPT', identity: 'GPT', role: '' }
    case 'variable':
      return variableSubject(content.variable)
    case 'written':
      return writtenSubject(content.role, content.text)
    case 'payload':
    case undefined:
      break
  }
  const variable = type?.payload === 'variable' ? decodeVariable(event.data) : undefined
  if (variable !== undefined) return variableSubject(variable)
  if (type?.payload === 'image') return imageSubject(event.data)
  const name = eventTypeName(event.type, event.pcr)
  if (type?.payload === 'ima') return imaSubject(summaryOf(annotated))
  if (type?.payload === 'tagged') return { kind: 'settings', name: 'tagged events', identity: '', role: name }
  const label = labelText(event.data, MAX_LABEL)
  const file = label === undefined ? undefined : readEveConfigFile(label)
  if (file !== undefined) return { kind: 'file', name: file.path, identity: `file ${file.path}`, role: '' }
  if (content !== undefined && label !== undefined) {
    return { kind: 'text', name, identity: type?.payload === 'version' ? name : '', role: name }
  }
  if (label === undefined) return { kind: 'other', name, identity: '', role: name }
  return { kind: 'other', name: label, identity: `label ${label}`, role: `${name} ${fileStem(label)}` }
}

const MAX_LABEL = 1024

/** What a file is, whatever its version and directory: `vmlinuz` of `/boot/vmlinuz-6.1.0`. */
function fileStem(path: string): string {
  const file = path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1)
  return /^[a-z_]+/i.exec(file)?.[0] ?? ''
}

function noActionName(data: Buffer): string {
  const end = data.subarray(0, 16).indexOf(0)
  return labelText(data.subarray(0, end === -1 ? 16 : end)) ?? 'EV_NO_ACTION'
}

function variableSubject(variable: EfiVariable): Subject {
  const { vendor, name, value } = variable
  const identity = `variable ${vendor} ${name}`
  if (name === 'BootOrder') return { kind: 'boot-order', name, identity, role: '' }
  if (bootNumber(name) !== undefined) return { kind: 'boot-option', name, identity, role: '' }
  const isDatabase = KEY_DATABASES.has(name) && decodeSignatureLists(value) !== undefined
  return { kind: isDatabase ? 'keys' : 'variable', name, identity, role: '' }
}

const KEY_DATABASES: ReadonlySet<string> = new Set(['PK', 'KEK', 'db', 'dbx', 'dbt', 'dbr', 'MokList', 'MokListX'])

function writtenSubject(writer: WriterRole, text: string): Subject {
  switch (writer) {
    case 'grub-command':
      return { kind: 'text', name: 'grub_cmd', identity: '', role: commandRole(text) }
    case 'kernel-command-line':
      return { kind: 'text', name: 'kernel_cmdline', identity: writer, role: '' }
    case 'module-command-line':
      return { kind: 'text', name: 'module_cmdline', identity: '', role: writer }
    case 'rootfs':
      return { kind: 'other', name: 'root file system', identity: writer, role: '' }
    case 'section':
      return { kind: 'other', name: `section ${text}`, identity: `section ${text}`, role: '' }
    case 'text':
      return { kind: 'text', name: 'text', identity: '', role: writer }
  }
}

/** The word that says what a command does, and for assignments the variable: another of either is another command. */
function commandRole(text: string): string {
  const [, word = '', variable = ''] = /^(\S{1,64})(?:\s+([\w.]{1,64})(?==))?/.exec(text) ?? []
  if (word === '[') return ''
  return `command ${/^[\w.]+(?==)/.exec(word)?.[0] ?? word} ${variable}`
}

/** An entry of the kernel is on a file: its summary is the path, and the digest behind it. */
function imaSubject(summary: string): Subject {
  const path = summary.slice(0, Math.max(summary.lastIndexOf(' '), 0))
  return { kind: 'other', name: path, identity: path === '' ? '' : `entry ${path}`, role: '' }
}

function imageSubject(data: Buffer): Subject {
  const image = decodeImageLoad(data)
  const path = image === undefined ? '' : devicePathText(image.devicePath)
  const file = path.slice(path.lastIndexOf('\\') + 1)
  return { kind: 'image', name: file === '' ? 'image' : file, identity: `image ${path.toLowerCase()}`, role: 'image' }
}
