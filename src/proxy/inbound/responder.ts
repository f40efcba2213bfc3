import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import { ErrorCode, type Metrics, WarrenError } from '../../core/index.ts'
import type { PooledConnection } from '../fastpath/index.ts'
import { codeOf, type Flow } from '../flow/index.ts'
import { HEADER, refusalHeaders, twoPathsHeader } from '../session/index.ts'

/** Answers another agent's request for one flow. */
export interface Responder {
  /** Aborts when the other agent no longer waits. */
  readonly gone: AbortSignal
  readonly isGone: boolean
  /** Must not be called after `gone`. */
  readonly grant: (flow: Flow) => void
  readonly refuse: (error: WarrenError) => void
}

/** Answers a request on a stream. */
export function onStream(stream: ServerHttp2Stream): Responder {
  const gone = new AbortController()
  stream.once('close', () => gone.abort(givenUp()))
  return {
    gone: gone.signal,
    get isGone() {
      return stream.destroyed || stream.closed
    },
    grant: flow => stream.respond({ ':status': 200, [HEADER.flowId]: flow.id, ...twoPathsHeader(flow.multipath) }),
    refuse: error => refuseStream(stream, error)
  }
}

/** Answers a request on a pooled fast-path connection. */
export function onPooledConnection(connection: PooledConnection, gone: AbortSignal, metrics: Metrics): Responder {
  const count = (result: 'granted' | 'refused'): void => {
    const { firstBytes } = connection
    if (firstBytes > 0) metrics.count('warren_first_bytes_total', { result }, firstBytes)
  }
  return {
    gone,
    get isGone() {
      return gone.aborted
    },
    grant: () => {
      count('granted')
      connection.grant()
    },
    refuse: error => {
      count('refused')
      if (!gone.aborted) connection.refuse(error)
    }
  }
}

export function givenUp(): WarrenError {
  return new WarrenError(ErrorCode.FlowCut, 'cancelled by the source')
}

/** Refuses a request on a stream. */
export function refuseStream(stream: ServerHttp2Stream, error: WarrenError, more: OutgoingHttpHeaders = {}): void {
  if (stream.destroyed || stream.closed) return
  if (stream.headersSent) {
    stream.close(codeOf('link'))
    return
  }
  stream.respond({ ...refusalHeaders(error), ...more }, { endStream: true })
  // Reads the data that the source may send meanwhile, so that the stream can close.
  stream.resume()
}
