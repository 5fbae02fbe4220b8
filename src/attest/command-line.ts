import type { ParameterLists } from './rule-schema.ts'

/** What is wrong with a command line, parameter by parameter. */
export interface ParameterFaults {
  /** Present and not allowed, or forbidden. */
  readonly refused: readonly string[]
  /** Required and absent. */
  readonly absent: readonly string[]
}

export function judgeParameters(commandLine: string, lists: ParameterLists): ParameterFaults {
  const given = parametersOf(commandLine)
  const matchesAny = (parameter: string, patterns: readonly string[]) =>
    patterns.some((pattern) => matches(parameter, pattern))
  return {
    refused: given.filter(
      (parameter) =>
        (lists.allowed !== undefined && !matchesAny(parameter, [...lists.allowed, ...(lists.required ?? [])])) ||
        matchesAny(parameter, lists.forbidden ?? []),
    ),
    absent: (lists.required ?? []).filter((pattern) => !given.some((parameter) => matches(parameter, pattern))),
  }
}

/**
 * The parameters as the kernel reads them (lib/cmdline.c, `next_arg`): separated by white space outside double quotes,
 * quotes taken away. A first word that is a path is the image, which GRUB puts in front.
 */
function parametersOf(commandLine: string): string[] {
  const words = commandLine.match(/(?:"[^"]*"?|[^\s"])+/g) ?? []
  const [first = ''] = words
  return words.slice(/^[/(]/.test(first) ? 1 : 0).map((word) => normalize(word.replaceAll('"', '')))
}

/** `*` stands for any rest of the parameter, at the end of a pattern only. */
function matches(parameter: string, pattern: string): boolean {
  const wanted = normalize(pattern)
  return wanted.endsWith('*') ? parameter.startsWith(wanted.slice(0, -1)) : parameter === wanted
}

/** The kernel takes `-` and `_` in a parameter's name for the same (kernel/params.c, `dash2underscore`). */
function normalize(parameter: string): string {
  const [name = '', ...value] = parameter.split('=')
  return [name.replaceAll('-', '_'), ...value].join('=')
}
