import type { Duplex } from 'node:stream'
import type { Stream } from '@libp2p/interface'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { StreamHandler } from '../types.ts'
import { StreamDuplex } from './stream-duplex.ts'

/** Passes the data streams that peers open, relayed ones included, to the registered handler. */
export class DataStreams {
  #handler: StreamHandler | undefined

  onStream(handler: StreamHandler): void {
    this.#handler = handler
  }

  /** Takes a stream that `peer` opened to us. It is aborted if there is no handler. */
  accept(stream: Stream, peer: PeerKey): void {
    if (this.#handler === undefined) stream.abort(new WarrenError(ErrorCode.NotReady, 'no handler takes streams'))
    else this.#handler(new StreamDuplex(stream), peer, undefined)
  }

  /** Takes a stream that `relay`, whose machine is `via`, joined to us. Throws NOT_READY if there is no handler. */
  acceptRelayed(duplex: Duplex, relay: PeerKey, via: string): void {
    if (this.#handler === undefined) throw new WarrenError(ErrorCode.NotReady, 'no handler takes streams')
    this.#handler(duplex, relay, via)
  }
}
