// What a user wrote, or a runtime of another version: nothing about its form is certain.

/** A member of an object; undefined of anything else. */
export function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  return (value as Readonly<Record<string, unknown>>)[name]
}

/** The members of an object, and of nothing else: a text would have one for each of its characters. */
export function membersOf(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : []
}

/** The value that a text says as JSON; undefined if it is none. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
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
