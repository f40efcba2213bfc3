import { hash } from 'node:crypto'
import type { RecordFields, RecordName } from '../events/index.ts'
import { fieldsText } from './fields-text.ts'

/** The end of a chain of lines: the next line follows it. */
export interface ChainEnd {
  /** Number of the last line; 0 before the first one. */
  readonly seq: number
  /** Hex SHA-256 of the last line without its line break; zeros before the first one. */
  readonly sha256: string
}

export const EMPTY_CHAIN: ChainEnd = Object.freeze({ seq: 0, sha256: '0'.repeat(64) })

/** A record that is not a line yet. */
export interface PendingRecord {
  readonly name: RecordName
  readonly atMs: number
  /** Nobody changes them after the event. */
  readonly fields: RecordFields[RecordName]
}

/** A line as it is read. Its place in the chain is not verified. */
export interface AuditLine {
  readonly seq: number
  /** ISO 8601, UTC. */
  readonly at: string
  readonly event: string
  readonly fields: Readonly<Record<string, unknown>>
  /** Hex SHA-256 of the line before. */
  readonly prev: string
  /** Hex Ed25519 signature, on the lines that the log writes about itself. */
  readonly signature: string | undefined
  /** The bytes that are signed. */
  readonly signed: string
}

/** No line is longer, in characters. */
export const MAX_LINE_LENGTH = 16_384
const SIGNED = /^(\{.*"prev":"[0-9a-f]{64}"),"signature":"([0-9a-f]{128})"\}$/s
const HASH = /^[0-9a-f]{64}$/
const PREV_AND_END = ',"prev":"'.length + 64 + '"}'.length

/** The line of a record, without its line break, that follows the chain. With `sign`, it is signed. */
export function lineOf(
  { name, atMs, fields }: PendingRecord,
  { seq, sha256 }: ChainEnd,
  sign?: (bytes: Uint8Array) => Uint8Array
): string {
  const content = `{"seq":${seq + 1},"at":"${timeText(atMs)}","event":"${name}","fields":${fieldsText(name, fields)},"prev":"${sha256}"`
  if (sign === undefined) return `${content}}`
  return `${content},"signature":"${Buffer.from(sign(Buffer.from(content))).toString('hex')}"}`
}

/** Hex SHA-256 of a line without its line break. */
export function hashOf(line: string | Uint8Array): string {
  return hash('sha256', line, 'hex')
}

/** Reads a line without its line break; undefined if it is not a line of an audit log in the one form of such lines. */
export function parseLine(text: string): AuditLine | undefined {
  const parsed = parsedOf(text)
  if (parsed === undefined) return undefined
  const { seq, at, event, fields, prev } = parsed
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 1) return undefined
  if (typeof at !== 'string' || typeof event !== 'string' || typeof prev !== 'string') return undefined
  if (typeof fields !== 'object' || fields === null || !HASH.test(prev)) return undefined
  const [, signed = '', signature] = SIGNED.exec(text) ?? []
  if (signature === undefined && text.slice(-PREV_AND_END) !== `,"prev":"${prev}"}`) return undefined
  return { seq, at, event, fields: fields as AuditLine['fields'], prev, signature, signed }
}

function parsedOf(text: string): Readonly<Record<string, unknown>> | undefined {
  if (text.length > MAX_LINE_LENGTH) return undefined
  try {
    const parsed: unknown = JSON.parse(text)
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

// Most records are of the same second, and writing a time takes as long as hashing a line.
let [lastSecond, secondText] = [Number.NaN, '']

function timeText(atMs: number): string {
  const ms = Math.trunc(atMs)
  const second = Math.floor(ms / 1_000)
  if (second !== lastSecond) {
    lastSecond = second
    secondText = new Date(second * 1_000).toISOString().slice(0, -'000Z'.length)
  }
  return `${secondText}${String(ms - second * 1_000).padStart(3, '0')}Z`
}
