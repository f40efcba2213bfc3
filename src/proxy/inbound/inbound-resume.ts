import type { ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { NewPath, StreamEnd } from '../relay/index.ts'
import {
  AckChannel,
  type FlowRef,
  type ProvenPeer,
  type ResumeLink,
  refText,
  type SessionSecret,
  sessionSecret
} from '../resume/index.ts'
import { HEADER } from '../session/index.ts'
import { agreedVersions } from '../tls/index.ts'

export interface InboundResumeOptions {
  readonly socket: TLSSocket
  /** The certificate that the source has proved last. */
  readonly peer: () => ProvenPeer
}

/** What lets the flows of a session outlive it, at the end that accepted it. */
export class InboundResume {
  readonly #options: InboundResumeOptions
  readonly #acks = new AckChannel()
  #secret: SessionSecret | undefined

  constructor(options: InboundResumeOptions) {
    this.#options = options
  }

  /** The opener acknowledges on this stream, and is acknowledged. Throws LIMIT_EXCEEDED for a second one. */
  keep(stream: ServerHttp2Stream): void {
    if (this.#secret !== undefined) {
      throw new WarrenError(ErrorCode.LimitExceeded, 'the session has its channel for acknowledgements already')
    }
    const { socket } = this.#options
    this.#secret = sessionSecret((...args) => socket.exportKeyingMaterial(...args))
    this.#acks.bind(stream, agreedVersions(stream.session?.remoteSettings ?? {}).resume ?? 1)
    stream.once('end', () => this.#acks.close())
    stream.respond({ ':status': 200 })
  }

  /** The link of a flow that this session carries. `left` is called when it does no more. */
  linkOf(ref: FlowRef, left: () => void): ResumeLink | undefined {
    if (this.#secret === undefined) return undefined
    const { id, secret } = this.#secret
    return { acks: this.#acks, ref, key: `${id}.${refText(ref)}`, secret, peer: this.#options.peer, left }
  }
}

/** Throws INVALID_ARGUMENT if the opener of the session acknowledges nothing in it, TIMEOUT if it has given up the request. */
export function newPath(end: StreamEnd, carrier: string): NewPath {
  const { link, stream } = end
  // Nobody would notice the loss of a path whose stream has closed already.
  if (stream.destroyed) throw new WarrenError(ErrorCode.Timeout, 'the other agent has given up this attempt')
  if (link === undefined) throw new WarrenError(ErrorCode.InvalidArgument, 'the session does not resume flows')
  return { ...end, link, carrier }
}

/** Grants the request to continue a flow. */
export function grantResumed(stream: ServerHttp2Stream, position: number): void {
  stream.respond({ ':status': 200, [HEADER.resumePosition]: String(position) })
}
