import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { createConnectRouter, createContextValues } from '@connectrpc/connect'
import type { UniversalServerResponse } from '@connectrpc/connect/protocol'
import { universalRequestFromNodeRequest } from '@connectrpc/connect-node'
import { ErrorCode, type Logger, type Metrics, packageVersion, raceAbort, WarrenError } from '../core/index.ts'
import type { CallFrom, CallGate } from './call-gate.ts'
import { CALLER } from './caller.ts'
import type { LocalLimits } from './limits.ts'
import { refusal } from './refusal.ts'
import { countCall, type Routes, type ServiceName } from './routes.ts'
import { toConnectError } from './to-connect-error.ts'
import { unknownCall, VERSION_HEADER } from './unknown-call.ts'
import { cut, writeAnswer } from './write-answer.ts'

export type Request = IncomingMessage | Http2ServerRequest
export type Response = ServerResponse | Http2ServerResponse
export type RequestListener = (request: Request, response: Response, from: CallFrom) => void

export interface ListenerOptions {
  readonly routes: Routes
  readonly service: ServiceName
  readonly gate: CallGate
  readonly limits: LocalLimits
  readonly log: Logger
  readonly metrics: Metrics
  /** Aborts when the server stops. */
  readonly stopping: AbortSignal
}

/**
 * Answers HTTP requests of either version with the calls of `routes`, in the Connect, gRPC and gRPC-Web protocols.
 *
 * A call that `gate` refuses is answered before its body is read. Never throws and leaves no rejection behind, whatever the request:
 * the adapter that comes with the library throws on a request line or Host that is not a URL, and prints to the console.
 */
export function createRequestListener(options: ListenerOptions): RequestListener {
  const { service, gate, limits, log, metrics, stopping } = options
  const version = packageVersion()
  const handlers = once(() => handlersOf(options))

  const answer = async (request: Request, response: Response, from: CallFrom): Promise<void> => {
    const path = pathOf(request)
    const handler = handlers().get(path)
    if (handler === undefined) {
      const contentType = request.headers['content-type'] ?? JSON_TYPE
      await refuse(response, contentType, unknownCall(path, request.headers[VERSION_HEADER]), log, 404)
      return
    }
    const verdict = gate.admit(from, handler.method)
    if (!verdict.ok) {
      countCall(metrics, service, verdict.error.code)
      if (verdict.error.limit !== undefined) metrics.hit(verdict.error.limit, { method: handler.method.name })
      const refused = gate.refuse(from)
      response.once('close', () => refused?.())
      if (refused === undefined) {
        cut(response)
        return
      }
      if (from.identification.ok) await from.identification.caller.share.turn(closing(response))
      await refuse(response, request.headers['content-type'] ?? JSON_TYPE, verdict.error, log)
      return
    }
    response.once('close', verdict.release)
    const { caller } = verdict
    if (handler.method.methodKind === 'unary') response.once('close', caller.share.work())
    withoutAuthority(request)
    const values = createContextValues().set(CALLER, caller)
    const universal = universalRequestFromNodeRequest(request, response, undefined, values)
    await raceAbort(caller.share.turn(universal.signal), stopping)
    const found = await handler(universal)
    const help = helpFor(found)
    if (help !== undefined) await refuse(response, JSON_TYPE, help, log, found.status)
    else await writeAnswer(found, response, caller.share)
  }

  return (request, response, from) => {
    // A request whose body trickles in would hold its memory and its place for as long as it likes.
    const timer = setTimeout(() => {
      // What a client says in a conversation comes when it comes; those of each user are bounded as watches are.
      const isConversation = handlers().get(pathOf(request))?.method.methodKind === 'bidi_streaming'
      if (!request.complete && !isConversation) destroy(response)
    }, limits.bodyMs)
    response.once('close', () => clearTimeout(timer))
    response.on('error', () => {})
    response.setHeader(VERSION_HEADER, version)
    request.on('error', () => {})
    answer(request, response, from).catch((err: unknown) => {
      // Also the way in which a client that hangs up is reported.
      log.debug('request failed', { method: request.method ?? '', err })
      destroy(response)
    })
  }
}

/** The calls of `routes` by their path. Not made before the first call: that was 3 % of a start. */
function handlersOf({ routes, service, limits, log, metrics, stopping }: ListenerOptions) {
  const router = createConnectRouter({
    readMaxBytes: limits.maxBodyBytes,
    // A compressed body of a few bytes could cost us far more than the limit in time.
    acceptCompression: [],
    // A misspelt field is an error and not ignored: a misspelt `whitelist` would change the permissions.
    jsonOptions: { ignoreUnknownFields: false },
    shutdownSignal: stopping
  })
  routes(router, { log, metrics, requestMs: limits.requestMs, service })
  return new Map(router.handlers.map(handler => [handler.requestPath, handler]))
}

/** Calls `make` when the value is needed for the first time. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

const JSON_TYPE = 'application/json'
/** A refusal is sent at once or never. */
const REFUSAL_MS = 2_000

function pathOf(request: Request): string {
  return request.url?.split('?', 1)[0] ?? ''
}

/** Aborts when the call is over. */
function closing(response: Response): AbortSignal {
  const controller = new AbortController()
  response.once('close', () => controller.abort())
  return controller.signal
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

async function refuse(response: Response, contentType: string, error: WarrenError, log: Logger, status?: number) {
  // A client that takes not even this must not keep it here.
  const timer = setTimeout(() => cut(response), REFUSAL_MS)
  response.once('close', () => clearTimeout(timer))
  await writeAnswer(refusal(contentType, toConnectError(error, log, ''), status), response)
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
