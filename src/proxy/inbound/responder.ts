import type { ServerHttp2Stream } from 'node:http2'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { PooledConnection } from '../fastpath/index.ts'
import { codeOf, type Flow } from '../flow/index.ts'
import { HEADER, refusalHeaders } from '../session/index.ts'

/** Where the other agent asks for one flow, and is answered. */
export interface Responder {
  /** Aborts when it does not wait any more. */
  readonly gone: AbortSignal
  readonly isGone: boolean
  /** Only while it is not gone. */
  readonly grant: (flow: Flow) => void
  readonly refuse: (error: WarrenError) => void
}

/** A stream that asks. */
export function onStream(stream: ServerHttp2Stream): Responder {
  const gone = new AbortController()
  stream.once('close', () => gone.abort(givenUp()))
  return {
    gone: gone.signal,
    get isGone() {
      return stream.destroyed || stream.closed
    },
    grant: flow => stream.respond({ ':status': 200, [HEADER.flowId]: flow.id }),
    refuse: error => refuseStream(stream, error)
  }
}

/** A pooled fast-path connection that asks. */
export function onPooledConnection(connection: PooledConnection, gone: AbortSignal): Responder {
  return {
    gone,
    get isGone() {
      return gone.aborted
    },
    grant: () => connection.grant(),
    refuse: error => {
      if (!gone.aborted) connection.refuse(error)
    }
  }
}

export function givenUp(): WarrenError {
  return new WarrenError(ErrorCode.FlowCut, 'given up by the source')
}

/** Answers a request that nothing comes of. */
export function refuseStream(stream: ServerHttp2Stream, error: WarrenError): void {
  if (stream.destroyed || stream.closed) return
  if (stream.headersSent) {
    stream.close(codeOf('link'))
    return
  }
  stream.respond(refusalHeaders(error), { endStream: true })
  // Takes what the source may send meanwhile, so that the stream can close.
  stream.resume()
}
