/**
 * Every code that Touchstone can answer with, in one place: HTTP status, title, and what to do next. Codes are stable;
 * docs/errors.md documents each, and a test holds the two together both ways. Rows are grouped by room.
 */

interface ErrorRow {
  readonly status: number
  readonly title: string
  readonly hint: string
}

const rows = {
  // decoding
  'decode.truncated': {
    status: 400,
    title: 'The input ends before the structure does',
    hint: 'Send the file exactly as the TPM or the firmware wrote it; compare its size with the source.',
  },
  'decode.trailing': {
    status: 400,
    title: 'Bytes follow the end of the structure',
    hint: 'Send one structure alone; something was appended, or the file is of another type.',
  },
  'decode.value': {
    status: 400,
    title: 'A field has a value that its specification does not allow',
    hint: 'The message names the field and its offset; check that the file is of the type you meant.',
  },
  'decode.too_large': {
    status: 400,
    title: 'A size or count is beyond its limit',
    hint: 'The message names the field and its limit; genuine evidence stays far below.',
  },
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof rows

export const ERRORS: Readonly<Record<ErrorCode, ErrorRow>> = rows
