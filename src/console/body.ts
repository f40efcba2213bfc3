import type { IncomingMessage } from 'node:http'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { readBody } from '../wire/index.ts'

/** Two addresses and a reason are far shorter. */
export const MAX_BODY_BYTES = 16 * 1024

/** Reads the object of JSON that a request carries. Throws MESSAGE_TOO_LARGE, STREAM_TRUNCATED or INVALID_ARGUMENT. */
export async function readJson(
  request: IncomingMessage,
  signal: AbortSignal
): Promise<Readonly<Record<string, unknown>>> {
  if (request.headers['content-type'] !== 'application/json') throw malformed('is not of the type application/json')
  const bytes = await readBody(request, { maxBytes: MAX_BODY_BYTES, signal })
  let value: unknown
  try {
    value = JSON.parse(bytes.toString())
  } catch (cause) {
    throw malformed('is not JSON', cause)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('is no object of JSON')
  return value as Record<string, unknown>
}

/** The text `name` of a body. Throws INVALID_ARGUMENT if it is none or is too long. */
export function textOf(body: Readonly<Record<string, unknown>>, name: string, maxLength = 1_024): string {
  const value = body[name] ?? ''
  if (typeof value !== 'string' || value.length > maxLength) throw malformed(`has no text "${name}"`)
  return value
}

function malformed(why: string, cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, `the body of the request ${why}`, { cause })
}
