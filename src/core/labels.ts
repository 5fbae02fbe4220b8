/** Labels of nodes: what operators and manifests call them, and what selectors choose them by. */

/** As `site`, `hw.rev`, `example.com/tier`. */
export const LABEL_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$/
/** Characters. */
export const MAX_LABEL_VALUE = 256
/** Of one node. */
export const MAX_LABELS = 32

/** Whether the labels have every one of the selector, with just that value. A selector without any chooses everything. */
export function isSelected(
  selector: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(selector).every(([name, value]) => Object.hasOwn(labels, name) && labels[name] === value)
}
