import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { createConnectRouter, createContextValues } from '@connectrpc/connect'
import type { UniversalServerResponse } from '@connectrpc/connect/protocol'
import { errorToJson } from '@connectrpc/connect/protocol-connect'
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from '@connectrpc/connect-node'
import { ErrorCode, type Logger, type Metrics, WarrenError } from '../core/index.ts'
import { IDENTIFICATION, type Identification } from './caller.ts'
import type { LocalLimits } from './limits.ts'
import type { Routes } from './routes.ts'
import { toConnectError } from './to-connect-error.ts'

export type Request = IncomingMessage | Http2ServerRequest
export type Response = ServerResponse | Http2ServerResponse
export type RequestListener = (request: Request, response: Response, identification: Identification) => void

/**
 * Answers HTTP requests of either version with the calls of `routes`, in the Connect, gRPC and gRPC-Web protocols.
 *
 * Never throws and leaves no rejection behind, whatever the request: the adapter that comes with the library throws on
 * a request line or Host that is not a URL, and prints to the console.
 */
export function createRequestListener(
  routes: Routes,
  limits: LocalLimits,
  { log, metrics }: { readonly log: Logger; readonly metrics: Metrics },
  stopping: AbortSignal
): RequestListener {
  const router = createConnectRouter({
    readMaxBytes: limits.maxBodyBytes,
    // A compressed body of a few bytes could cost us far more than the limit in time.
    acceptCompression: [],
    // A misspelt field is an error and not ignored: a misspelt `whitelist` would change the permissions.
    jsonOptions: { ignoreUnknownFields: false },
    shutdownSignal: stopping
  })
  routes(router, { log, metrics, requestMs: limits.requestMs })
  const handlers = new Map(router.handlers.map(handler => [handler.requestPath, handler]))

  const answer = async (request: Request, response: Response, identification: Identification): Promise<void> => {
    const handler = handlers.get(request.url?.split('?', 1)[0] ?? '')
    if (handler === undefined) {
      await refuse(response, 404, new WarrenError(ErrorCode.NotFound, 'no such call'), log)
      return
    }
    const values = createContextValues().set(IDENTIFICATION, identification)
    withoutAuthority(request)
    const found = await handler(universalRequestFromNodeRequest(request, response, undefined, values))
    const help = helpFor(found)
    if (help === undefined) await universalResponseToNodeResponse(found, response)
    else await refuse(response, found.status, help, log)
  }

  return (request, response, identification) => {
    // A request whose body trickles in would hold its memory and its place for as long as it likes.
    const timer = setTimeout(() => {
      if (!request.complete) destroy(response)
    }, limits.bodyMs)
    response.once('close', () => clearTimeout(timer))
    response.on('error', () => {})
    request.on('error', () => {})
    answer(request, response, identification).catch((err: unknown) => {
      // Also the way in which a client that hangs up is reported.
      log.debug('request failed', { method: request.method ?? '', err })
      destroy(response)
    })
  }
}

// The library answers these with only a status, which does not help a person with curl.
function helpFor(response: UniversalServerResponse): WarrenError | undefined {
  if (response.status === 415) {
    return new WarrenError(ErrorCode.InvalidArgument, 'the content type is not one of this API', {
      hint: 'Send the header "content-type: application/json" with a JSON body.'
    })
  }
  if (response.status === 405) {
    return new WarrenError(ErrorCode.InvalidArgument, 'calls need the method POST', { hint: 'With curl: -d "{}".' })
  }
  return undefined
}

async function refuse(response: Response, status: number, error: WarrenError, log: Logger): Promise<void> {
  const failure = toConnectError(error, log, '')
  const body = new TextEncoder().encode(JSON.stringify(errorToJson(failure, undefined)))
  const header = new Headers(failure.metadata)
  header.set('content-type', 'application/json')
  header.set('content-length', String(body.length))
  await universalResponseToNodeResponse({ status, header, body: once(body) }, response)
}

async function* once(chunk: Uint8Array): AsyncGenerator<Uint8Array> {
  yield chunk
}

// The host means nothing on a unix socket. The C core of gRPC sends the escaped path of the socket, which is no host of a URL:
// the adapter would throw on it.
function withoutAuthority(request: Request): void {
  request.headers['authority' in request ? ':authority' : 'host'] = 'localhost'
}

function destroy(response: Response): void {
  if ('stream' in response) response.stream.destroy()
  else response.destroy()
}
