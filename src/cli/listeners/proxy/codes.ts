import { ErrorCode, WarrenError } from '../../../core/index.ts'
import { SocksReply } from '../../../listeners/index.ts'

/** How each protocol says a failure. */
interface Codes {
  readonly http: number
  readonly socks: SocksReply
  /** The type of error in the field Proxy-Status: https://www.rfc-editor.org/rfc/rfc9209#section-2.3 */
  readonly status: string
}

const DENIED: Codes = { http: 403, socks: SocksReply.NotAllowed, status: 'http_request_denied' }
const AWAY: Codes = { http: 503, socks: SocksReply.NetworkUnreachable, status: 'proxy_internal_error' }
const OTHER: Codes = { http: 502, socks: SocksReply.Failed, status: 'proxy_internal_error' }

const CODES: Readonly<Partial<Record<ErrorCode, Codes>>> = {
  [ErrorCode.Unauthorized]: DENIED,
  [ErrorCode.PermissionDenied]: DENIED,
  [ErrorCode.InvalidSource]: DENIED,
  [ErrorCode.InvalidArgument]: { http: 400, socks: SocksReply.Failed, status: 'http_request_error' },
  [ErrorCode.Unsupported]: { http: 400, socks: SocksReply.CommandNotSupported, status: 'http_request_error' },
  [ErrorCode.DestinationNotFound]: { http: 404, socks: SocksReply.HostUnreachable, status: 'destination_not_found' },
  [ErrorCode.DestinationUnreachable]: {
    http: 502,
    socks: SocksReply.HostUnreachable,
    status: 'destination_unavailable'
  },
  [ErrorCode.Timeout]: { http: 504, socks: SocksReply.Expired, status: 'connection_timeout' },
  [ErrorCode.StreamTruncated]: { http: 502, socks: SocksReply.Failed, status: 'connection_terminated' },
  [ErrorCode.LimitExceeded]: { http: 503, socks: SocksReply.Failed, status: 'connection_limit_reached' },
  [ErrorCode.AgentNotRunning]: AWAY,
  [ErrorCode.NotReady]: AWAY
}

/** The answers that stand for an error. */
export function codesOf(err: unknown): Codes {
  return CODES[WarrenError.from(err).code] ?? OTHER
}
