// What a user wrote, or a runtime of another version: nothing about its form is certain.

/** A member of an object; undefined of anything else. */
export function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  return (value as Readonly<Record<string, unknown>>)[name]
}

/** The text in a member; empty if there is none. */
export function textOf(value: unknown, name: string): string {
  const text = memberOf(value, name)
  return typeof text === 'string' ? text : ''
}

export function numberOf(value: unknown, name: string): number | undefined {
  const number = memberOf(value, name)
  return typeof number === 'number' ? number : undefined
}

/** The texts in a list. */
export function textsIn(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(text => typeof text === 'string') : []
}

export function listIn(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
