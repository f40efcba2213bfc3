/** Makes a value when it is first asked for, and keeps it: for what costs time to make, and not every run uses. */
export function lazy<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}
