import { printable } from './printable.ts'

/** Something that happened, with its name, its time and its fields. */
export interface RecordView {
  readonly name: string
  /** ISO 8601. */
  readonly at: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** One line for a person. */
export function recordLine({ name, at, fields }: RecordView): string {
  const pairs = Object.entries(fields).map(([key, value]) => `${key}=${textOf(value)}`)
  return printable([at, name, ...pairs].join('  '))
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return quoted(value.map(plain).join(','))
  if (typeof value !== 'object' || value === null) return quoted(String(value))
  // As of a process: uid:0,pid:1,executable:/sbin/init.
  return quoted(
    Object.entries(value)
      .map(([key, part]) => `${key}:${plain(part)}`)
      .join(',')
  )
}

// What another host says may be anything, also an object that cannot be made a text.
function plain(value: unknown): string {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value)
}

function quoted(text: string): string {
  return /[\s"=]/.test(text) || text === '' ? JSON.stringify(text) : text
}
