import { ErrorCode, type WarrenError } from '../../core/index.ts'
import { fromWireError, toWireError } from '../refusal.ts'

/** Headers of a request for a flow, and of its answer. */
export const HEADER = {
  destination: 'warren-destination',
  protocol: 'warren-protocol',
  flowId: 'warren-flow-id',
  resume: 'warren-resume',
  resumeAttempt: 'warren-resume-attempt',
  resumePosition: 'warren-resume-position',
  resumeProof: 'warren-resume-proof',
  multipath: 'warren-multipath',
  datagramsFrom: 'warren-datagrams-from',
  datagramsPort: 'warren-datagrams-port',
  error: 'warren-error',
  reason: 'warren-reason'
} as const

/** The `:protocol` of a flow of datagrams: RFC 9298. */
export const CONNECT_UDP = 'connect-udp'

/** Whether the other end asks for each packet of the flow on two paths. */
export function asksForTwoPaths(headers: Readonly<Record<string, unknown>>): boolean {
  return headers[HEADER.multipath] === '?1'
}

/** The header that asks for that, if `multipath` is true. */
export function twoPathsHeader(multipath: boolean): Record<string, string> {
  return multipath ? { [HEADER.multipath]: '?1' } : {}
}

const STATUS: Partial<Record<ErrorCode, number>> = {
  [ErrorCode.InvalidSource]: 401,
  [ErrorCode.Unauthorized]: 403,
  [ErrorCode.DestinationNotFound]: 404,
  [ErrorCode.InvalidArgument]: 400,
  [ErrorCode.LimitExceeded]: 429,
  [ErrorCode.DestinationUnreachable]: 503,
  [ErrorCode.NotReady]: 503
}

/** Headers of the answer that refuses a flow. */
export function refusalHeaders(error: WarrenError): Record<string, string | number> {
  const { code, reason } = toWireError(error)
  return {
    ':status': STATUS[code] ?? 500,
    [HEADER.error]: code,
    // A reason may quote user input: a header takes only ASCII, and no line ends.
    [HEADER.reason]: encodeURIComponent(reason)
  }
}

/** Reads the error of an answer that is not 200. */
export function refusalFrom(headers: Readonly<Record<string, unknown>>): WarrenError {
  const reason = headers[HEADER.reason]
  return fromWireError(
    headers[HEADER.error],
    typeof reason === 'string' ? decodeReason(reason) : `the other agent answered ${String(headers[':status'])}`
  )
}

function decodeReason(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return 'the other agent refused'
  }
}
