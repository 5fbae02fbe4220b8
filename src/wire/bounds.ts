/** Bounds of a body in either media type. Genuine bodies nest 4 deep and hold fewer than 100 items. */
export const MAX_DEPTH = 16
/** Containers, keys and values. */
export const MAX_ITEMS = 10_000
