import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { ErrorCode, WarrenError } from '../../../core/index.ts'
import { CHECK_FLOW_ID, type Checker, takesStreams } from './checker.ts'
import { leave } from './leave.ts'

const FIRST_BAD_STATUS = 400

/** The server answers GET of a path by HTTP/1.1, and not with an error. */
export const http: Checker = {
  name: 'http',
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
      const path = subject === '' ? '/' : subject
      const headers = { host: 'localhost', 'user-agent': 'warren-health-check', connection: 'close' }
      const asked = request({ createConnection: () => socket, path, headers, signal })
      const answered = once(asked, 'response') as Promise<[IncomingMessage]>
      asked.on('error', () => {})
      // It came paused, and a parser reads only what flows.
      asked.on('socket', () => void socket.resume())
      asked.end()
      const [response] = await answered.catch((err: unknown) => {
        throw signal.aborted ? signal.reason : unreachable(`gives no answer to GET ${path} (${reasonOf(err)})`)
      })
      response.on('error', () => {}).resume()
      const { statusCode = 0 } = response
      if (statusCode >= FIRST_BAD_STATUS) throw unreachable(`answers GET ${path} with ${statusCode}`)
      await leave(socket, undefined, signal)
    } finally {
      socket.destroy()
    }
  }
}

function unreachable(what: string): WarrenError {
  return new WarrenError(ErrorCode.DestinationUnreachable, `the server ${what}`)
}

function reasonOf(err: unknown): string {
  return err instanceof Error && 'code' in err && typeof err.code === 'string' ? err.code : String(err)
}
