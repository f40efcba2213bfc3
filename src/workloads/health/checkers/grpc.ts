import { connect, type OutgoingHttpHeaders } from 'node:http2'
import { ConnectError, createClient } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { ErrorCode, WarrenError } from '../../../core/index.ts'
import { grpcHealthPb } from '../../../wire/index.ts'
import { CHECK_FLOW_ID, type Checker, takesStreams } from './checker.ts'

const AUTHORITY = 'http://localhost'
/** An answer is a few bytes; a server may put more into it, and it is not read. */
const MAX_ANSWER_BYTES = 4 * 1024
/** The words of a server are shown to operators and written to the log; its headers may have many. */
const MAX_SAID_LENGTH = 200

/** The server answers the health check of gRPC, grpc.health.v1, with SERVING. */
export const grpc: Checker = {
  name: 'grpc',
  canCheck: takesStreams,
  isDefault: () => false,
  hasSubject: true,
  async check({ target, spiffeId, subject = '' }, { dial, headerFor }, signal) {
    if (target.kind === 'udp') return
    const socket = await dial(target, signal)
    socket.on('error', () => {})
    try {
      const header = headerFor(socket, target, { spiffeId, flowId: CHECK_FLOW_ID })
      if (header !== undefined) socket.write(header)
      const session = connect(AUTHORITY, { createConnection: () => socket })
      // A server that speaks something else fails the session once more after the call has failed.
      session.on('error', () => {})
      const sessionManager = {
        authority: AUTHORITY,
        request: async (method: string, path: string, headers: OutgoingHttpHeaders) =>
          session.request({ ...headers, ':method': method, ':path': path }),
        notifyResponseByteRead: () => {}
      }
      const transport = createGrpcTransport({ baseUrl: AUTHORITY, sessionManager, readMaxBytes: MAX_ANSWER_BYTES })
      const health = createClient(grpcHealthPb.Health, transport)
      const { status } = await health.check({ service: subject }, { signal }).catch((err: unknown) => {
        throw signal.aborted
          ? signal.reason
          : unreachable(`does not answer: ${ConnectError.from(err).message.slice(0, MAX_SAID_LENGTH)}`)
      })
      if (status === grpcHealthPb.HealthCheckResponse_ServingStatus.SERVING) return
      const name = grpcHealthPb.HealthCheckResponse_ServingStatus[status] ?? String(status)
      throw unreachable(`says ${name}${subject === '' ? '' : ` for ${subject}`}`)
    } finally {
      socket.destroy()
    }
  }
}

function unreachable(what: string): WarrenError {
  return new WarrenError(ErrorCode.DestinationUnreachable, `the server ${what}`)
}
