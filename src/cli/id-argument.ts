import { TouchstoneError } from '../core/index.ts'

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** An id as the verifier gives it. Said here, because the person who mistypes one asks which there are. */
export function idArgument(kind: 'node' | 'attestation', text: string): string {
  if (UUID.test(text)) return text
  throw new TouchstoneError(
    'usage.arguments',
    `${JSON.stringify(text)} is not the id of ${kind === 'node' ? 'a node' : 'an attestation'}`,
    {
      hint: `touchstone get ${kind}s lists them; an id looks like 0198f3c2-1d5b-7c3a-9f0e-2b6d4c8a7e10.`,
    },
  )
}
