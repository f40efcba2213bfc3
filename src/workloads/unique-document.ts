import { type IdentityDocument, registrationIdOf } from '../identity/index.ts'

/** The document, or a later one: two registrations of one process within a millisecond would otherwise share theirs. */
export function uniqueDocument(
  document: IdentityDocument,
  isTaken: (registrationId: string) => boolean
): IdentityDocument {
  let candidate = document
  while (isTaken(registrationIdOf(candidate)))
    candidate = { ...candidate, registeredAtMs: candidate.registeredAtMs + 1 }
  return candidate
}
