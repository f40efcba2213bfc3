import type { ConnectError } from '@connectrpc/connect'
import type { UniversalServerResponse } from '@connectrpc/connect/protocol'
import { codeToHttpStatus, endStreamFlag, endStreamToJson, errorToJson } from '@connectrpc/connect/protocol-connect'
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc'

const GRPC = /^application\/grpc(?:\+|;|$)/
const GRPC_WEB = /^application\/grpc-web/
const CONNECT_STREAM = /^application\/connect\+/
const ENVELOPE_HEADER_BYTES = 5

/** An error as the protocol of the request wants it, made without reading its body. `status`, if given, is that of HTTP. */
export function refusal(contentType: string, error: ConnectError, status?: number): UniversalServerResponse {
  const header = new Headers({ 'content-type': contentType })
  if (GRPC.test(contentType)) {
    return { status: 200, header, body: parts(), trailer: setTrailerStatus(new Headers(), error) }
  }
  if (GRPC_WEB.test(contentType)) return { status: 200, header: setTrailerStatus(header, error), body: parts() }
  if (CONNECT_STREAM.test(contentType)) {
    const json = Buffer.from(JSON.stringify(endStreamToJson(new Headers(), error, undefined)))
    const envelope = Buffer.alloc(ENVELOPE_HEADER_BYTES)
    envelope.writeUInt8(endStreamFlag)
    envelope.writeUInt32BE(json.length, 1)
    return { status: 200, header, body: parts(Buffer.concat([envelope, json])) }
  }
  const json = Buffer.from(JSON.stringify(errorToJson(error, undefined)))
  const plain = new Headers(error.metadata)
  plain.set('content-type', 'application/json')
  plain.set('content-length', String(json.length))
  return { status: status ?? codeToHttpStatus(error.code), header: plain, body: parts(json) }
}

async function* parts(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}
