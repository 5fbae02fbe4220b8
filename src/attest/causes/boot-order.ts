import { cut, describeChange } from './difference.ts'
import type { Difference } from './difference.ts'
import { named } from './pattern.ts'

/** `0001,0003 → 0001; no longer 0003 UEFI: USB disk`: numbers say nothing to whoever is asked. */
export function orderText(differences: readonly Difference[]): string {
  const [order] = differences
  const [field] = order?.fields ?? []
  if (order === undefined || field === undefined) return named(differences.map(describeChange), 2)
  const lists = [
    ...(order.removed.length > 0 ? [`no longer ${named(order.removed, 2)}`] : []),
    ...(order.added.length > 0 ? [`now with ${named(order.added, 2)}`] : []),
  ]
  return [`${cut(field.before ?? 'none')} → ${cut(field.after ?? 'none')}`, ...lists].join('; ')
}
