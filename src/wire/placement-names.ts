import { z } from 'zod'

/** A guest's id: any UUID, in lower case, so that one guest has one name. */
export const guestId = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, 'expected a UUID in lower case')

/** A tenant of a node's broker; also the name of its directory there. */
export const tenantName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'expected up to 32 of a-z, 0-9 and -, not beginning with -')

/** An app's name for one of its keys. */
export const keyName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'expected up to 63 of a-z, 0-9, ., _ and -, beginning with a letter or digit')

/** How often a guest was started: from 1 on. What is below fits into every name and number that it becomes part of. */
export const generation = z
  .int()
  .min(1)
  .max(10 ** 12)

/**
 * What a guest may have been started since its generation was last heard of. A host that names a higher one would end its
 * guest's lives: nothing could come after it.
 */
export const MAX_GENERATION_LEAP = 10 ** 6
