import { Readable } from 'node:stream'
import { createLocalJWKSet, createRemoteJWKSet, customFetch, type JWTVerifyGetKey } from 'jose'
import { type Clock, ErrorCode, WarrenError } from '../../core/index.ts'
import { readBody } from '../../wire/index.ts'

/** A set of keys has a few KB. */
export const MAX_KEY_SET_BYTES = 64 * 1024
const FETCH_TIMEOUT_MS = 5_000
/** After a failure, the issuer is not asked for this long. */
const FAILED_MS = 5_000
const MAX_KEYS = 64

type Fetch = (url: string, options: RequestInit) => Promise<Response>

/** The keys of an issuer in a text. Throws INVALID_ARGUMENT. */
export function localKeys(json: string): JWTVerifyGetKey {
  try {
    if (json.length > MAX_KEY_SET_BYTES) throw new RangeError('it is too large')
    const set: unknown = JSON.parse(json)
    const keys = typeof set === 'object' && set !== null && 'keys' in set ? set.keys : undefined
    if (!Array.isArray(keys) || keys.length === 0 || keys.length > MAX_KEYS) throw new RangeError('it has no keys')
    if (keys.some(key => typeof key !== 'object' || key === null || 'd' in key || 'k' in key)) {
      throw new RangeError('it has a key that is not public')
    }
    return createLocalJWKSet({ keys })
  } catch (cause) {
    const why = cause instanceof RangeError ? cause.message : 'it cannot be read'
    throw new WarrenError(ErrorCode.InvalidArgument, `this is not a set of public keys (JWKS): ${why}`, { cause })
  }
}

/** Returns `text` if it is an https URL without a user. Throws INVALID_ARGUMENT. */
export function parseKeysUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'https:' && url.username === '' && text.length <= 1_024) return url
  throw new WarrenError(ErrorCode.InvalidArgument, `"${text.slice(0, 80)}" is not an https URL`, {
    hint: 'Give the URL of the keys of the issuer, or @FILE that has them.'
  })
}

/** The keys of an issuer at a URL: fetched when they are needed, kept for ten minutes, and bounded in size and time. */
export function remoteKeys(url: URL, clock: Clock, fetchBy: Fetch = fetch): JWTVerifyGetKey {
  let failedAtMs = Number.NEGATIVE_INFINITY
  return createRemoteJWKSet(url, {
    timeoutDuration: FETCH_TIMEOUT_MS,
    [customFetch]: async (at, { headers, signal }) => {
      if (clock.monotonicMs() - failedAtMs < FAILED_MS) throw new Error('the issuer was asked a moment ago, and failed')
      try {
        // A redirection could lead to another host, or away from TLS.
        const response = await fetchBy(at, { headers, signal, redirect: 'error' })
        return new Response(await boundedText(response, signal), { status: response.status })
      } catch (err) {
        failedAtMs = clock.monotonicMs()
        throw err
      }
    }
  })
}

async function boundedText(response: Response, signal: AbortSignal): Promise<string> {
  if (response.status !== 200) throw new Error(`the issuer answers with status ${response.status}`)
  if (response.body === null) return ''
  const body = Readable.fromWeb(response.body)
  body.on('error', () => {})
  try {
    return (await readBody(body, { maxBytes: MAX_KEY_SET_BYTES, signal })).toString('utf8')
  } finally {
    body.destroy()
  }
}
