import type { Socket } from 'node:net'
import { ErrorCode, isErrorCode, WarrenError, within } from '../core/index.ts'
import { decode, proxyPb, readFrame } from '../wire/index.ts'

/** The workload at the other end of a brokered connection, as the agents have verified it. */
export interface Peer {
  readonly spiffeId: string
  /** Five components. */
  readonly address: string
  /** Names the flow in the logs of both agents. */
  readonly flowId: string
}

/** A FlowHello holds one SPIFFE ID and one reason. */
const MAX_HELLO_BYTES = 16_384

/**
 * Reads the hello frame with which the agent begins a connection, and leaves later bytes unread.
 *
 * Rejects with the error that the frame carries, with STREAM_TRUNCATED if the connection ends before it, or with
 * TIMEOUT. The caller must destroy the socket then.
 */
export async function readHello(socket: Socket, timeoutMs: number, signal?: AbortSignal): Promise<Peer> {
  const peer = await readHelloOrProbe(socket, timeoutMs, signal)
  if (peer !== undefined) return peer
  throw new WarrenError(ErrorCode.MessageMalformed, 'a probe where a connection was expected')
}

/** Same as `readHello`; undefined if it is a health check of the agent: end the socket as the answer. */
export async function readHelloOrProbe(
  socket: Socket,
  timeoutMs: number,
  signal?: AbortSignal
): Promise<Peer | undefined> {
  const frame = await within(timeoutMs, [signal], async limit => {
    try {
      return await readFrame(socket, MAX_HELLO_BYTES, limit)
    } catch (err) {
      if (!limit.aborted || signal?.aborted === true) throw err
      throw new WarrenError(ErrorCode.Timeout, `no hello from the agent within ${timeoutMs} ms`, { cause: err })
    }
  })
  const hello = decode(proxyPb.FlowHelloSchema, frame, MAX_HELLO_BYTES)
  if (hello.error !== undefined) {
    const { code, reason } = hello.error
    throw new WarrenError(isErrorCode(code) ? code : ErrorCode.CannotConnect, reason)
  }
  if (hello.probe) return undefined
  return Object.freeze({
    spiffeId: hello.peerSpiffeId,
    address: addressOf(hello.peerSpiffeId),
    flowId: hello.flowId
  })
}

// The agent has verified the identity; this only changes its form.
function addressOf(spiffeId: string): string {
  return spiffeId.split('/').slice(3).join('.')
}
