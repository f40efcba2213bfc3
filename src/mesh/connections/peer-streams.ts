import type { Connection, Stream } from '@libp2p/interface'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { type StreamProtocol, versionsAmong } from '../protocols.ts'
import { StreamDuplex } from './stream-duplex.ts'

export interface PeerStreamsDeps {
  /** Dials a known peer if there is no connection to it. */
  readonly ensure: (peer: PeerKey, signal: AbortSignal) => Promise<unknown>
  readonly openTo: (peer: PeerKey) => Connection | undefined
  /** Names of the protocols that a peer says it speaks. */
  readonly spokenBy: (peer: PeerKey) => Promise<readonly string[]>
}

function isUnsupported(err: unknown): err is Error {
  return err instanceof Error && err.name === 'UnsupportedProtocolError'
}

/** Opens streams to hosts, and dials them first if necessary. */
export class PeerStreams {
  readonly #deps: PeerStreamsDeps

  constructor(deps: PeerStreamsDeps) {
    this.#deps = deps
  }

  /**
   * Throws DESTINATION_UNREACHABLE if not connected or the peer takes no more streams, UNSUPPORTED if it speaks no version
   * of the protocol that this host speaks, libp2p's errors, the signal's reason.
   */
  async open(peer: PeerKey, { names, limits }: StreamProtocol, signal: AbortSignal): Promise<Stream> {
    await this.#deps.ensure(peer, signal)
    const connection = this.#deps.openTo(peer)
    if (connection === undefined) {
      throw new WarrenError(ErrorCode.DestinationUnreachable, `no connection to ${peer}`)
    }
    const stream = await connection.newStream([...names], { ...limits, signal }).catch(async (err: unknown) => {
      throw isUnsupported(err) ? await this.#otherVersions(peer, names, err) : err
    })
    // Above the peer's limit, libp2p returns a stream that is already reset, without an error.
    if (stream.status !== 'open') {
      throw new WarrenError(ErrorCode.DestinationUnreachable, `the peer refused a stream for ${stream.protocol}`)
    }
    return stream
  }

  /** Like `open`, as a Duplex of Node. */
  async openDuplex(peer: PeerKey, protocol: StreamProtocol, signal: AbortSignal): Promise<StreamDuplex> {
    return new StreamDuplex(await this.open(peer, protocol, signal))
  }

  async #otherVersions(peer: PeerKey, [name = '']: readonly string[], cause: Error): Promise<WarrenError> {
    const spoken = await this.#deps.spokenBy(peer).catch(() => [])
    const there = versionsAmong(spoken, name) || 'none that is known'
    const reason = `of the protocol ${name} the other host speaks version ${there}: upgrade the older of the two`
    return new WarrenError(ErrorCode.Unsupported, reason, { cause })
  }
}
