import type { ClientHttp2Stream } from 'node:http2'
import { codeOf } from '../flow/index.ts'
import {
  AckChannel,
  type FlowRef,
  type ProvenPeer,
  RESUME_PATH,
  type ResumeLink,
  refText,
  sessionSecret
} from '../resume/index.ts'
import type { Dialled } from '../tls/index.ts'

export interface ClientResumeOptions {
  readonly dialled: Dialled
  /** The certificate that the other end has proved last. */
  readonly peer: () => ProvenPeer
  /** No flow waits for an acknowledgement any more. */
  readonly onIdle: () => void
}

/** What lets the flows of a session outlive it, at the end that opened it. */
export class ClientResume {
  readonly #options: ClientResumeOptions
  readonly #acks: AckChannel
  #hasBegun = false
  #secret: { readonly id: string; readonly secret: Buffer } | undefined
  #stream: ClientHttp2Stream | undefined

  constructor(options: ClientResumeOptions) {
    this.#options = options
    this.#acks = new AckChannel(options.onIdle)
  }

  get isIdle(): boolean {
    return this.#acks.isIdle
  }

  /** Opens the channel for acknowledgements: before the first flow, so that the other end has it then. */
  begin(): void {
    if (this.#hasBegun) return
    this.#hasBegun = true
    const { session, socket } = this.#options.dialled
    this.#secret = sessionSecret((...args) => socket.exportKeyingMaterial(...args))
    const stream = session.request({ ':method': 'POST', ':scheme': 'https', ':path': RESUME_PATH })
    this.#stream = stream
    stream.once('response', ({ ':status': status }) => {
      // No flow of the session would ever be acknowledged: other sessions are better for them.
      if (status !== 200) session.destroy(undefined, codeOf('link'))
    })
    this.#acks.bind(stream, this.#options.dialled.versions.resume ?? 1)
  }

  /** The link of a flow that this session carries. */
  linkOf(ref: FlowRef): ResumeLink | undefined {
    const { peer } = this.#options
    if (this.#secret === undefined) return undefined
    const { id, secret } = this.#secret
    return { acks: this.#acks, ref, key: `${id}.${refText(ref)}`, secret, peer }
  }

  /** Closes the channel, so that the session can end. */
  close(): void {
    this.#acks.close()
    this.#stream?.resume()
  }
}
