import type { Check, ErrorCode } from '../core/index.ts'

/** What a check may say beside its name and outcome. */
export type Detail = Omit<Check, 'check' | 'outcome' | 'code'>

export function pass(check: string, detail: Detail = {}): Check {
  return { check, outcome: 'pass', ...detail }
}

export function fail(check: string, code: ErrorCode, detail: Detail = {}): Check {
  return { check, outcome: 'fail', code, ...detail }
}

export function warn(check: string, code: ErrorCode, detail: Detail = {}): Check {
  return { check, outcome: 'warn', code, ...detail }
}

/** Asked for and not answerable; `actual` says what stood in the way. */
export function indeterminate(check: string, code: ErrorCode, detail: Detail = {}): Check {
  return { check, outcome: 'indeterminate', code, ...detail }
}

/** `pass` where `holds`, else the failure. */
export function judge(holds: boolean, check: string, code: ErrorCode, detail: Detail): Check {
  return holds ? pass(check, detail) : fail(check, code, detail)
}
