import type { Duplex } from 'node:stream'
import type { Stream } from '@libp2p/interface'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { StreamHandler } from '../types.ts'
import { StreamDuplex } from './stream-duplex.ts'

/** Hands the data streams that peers open, relayed ones included, to whoever takes them. */
export class DataStreams {
  #handler: StreamHandler | undefined

  onStream(handler: StreamHandler): void {
    this.#handler = handler
  }

  /** A stream that `peer` opened to us. It is aborted if nobody takes streams. */
  accept(stream: Stream, peer: PeerKey): void {
    if (this.#handler === undefined) stream.abort(new WarrenError(ErrorCode.NotReady, 'nothing takes streams'))
    else this.#handler(new StreamDuplex(stream), peer, undefined)
  }

  /** A stream that `relay`, whose machine is `via`, joined to us. Throws NOT_READY if nobody takes streams. */
  acceptRelayed(duplex: Duplex, relay: PeerKey, via: string): void {
    if (this.#handler === undefined) throw new WarrenError(ErrorCode.NotReady, 'nothing takes streams')
    this.#handler(duplex, relay, via)
  }
}
