import { type Metrics, silentMetrics } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import { ANY_CARRIER, type Carrier, carriers, PUNCHED_PATH } from './carriers/index.ts'
import type { DataPlane } from './data-plane.ts'
import type { PacketPort } from './datagram/packet/index.ts'
import type { ProxyDeps } from './deps.ts'
import type { DataServer, Openings } from './inbound/index.ts'
import {
  DatagramObserver,
  NO_PUNCHING,
  OutsidePort,
  PUNCH_FIRST_BYTE,
  PunchInvited,
  PunchRequester,
  Rendezvous
} from './punch/index.ts'
import { askedByRelay, ConnectionJoiner, JoinedConnections, RELAYED_FIRST_BYTE } from './relayed/index.ts'
import { REVERSE_FIRST_BYTE, ReverseDialler, ReverseRequester } from './reverse/index.ts'

/** What other agents ask for connections that two of them make together. */
type Asked = Pick<DataPlane, 'connectBack' | 'arrange' | 'invited' | 'seen' | 'relay' | 'connectToRelay'>

/** The parts of a data plane by which it reaches other agents, and helps them to reach each other. */
export interface CarrierParts {
  /** Every carrier, also those that are switched off. */
  readonly all: readonly Carrier[]
  /** Connections to this agent that are no sessions. */
  readonly openings: Openings
  /** Where the datagrams of this host come from; undefined if they stay on their sessions. */
  readonly outside: OutsidePort | undefined
  /** Connections that are joined here for others. */
  readonly relayed: number
  /** Answers to other agents, whose connections `server` then serves. */
  answers(server: DataServer): Asked
  /** Another agent is connected that was not. */
  pathAppeared(peer: PeerKey): void
  /** The members have changed. */
  review(): void
}

export function carrierParts(deps: ProxyDeps, packets: PacketPort, stopping: AbortSignal): CarrierParts {
  const { clock, log, local, reverse, relaying } = deps
  const metrics: Metrics = deps.metrics ?? silentMetrics
  const common = { clock, log, metrics, stopping }
  const requester = new ReverseRequester({ deps: reverse, userOf: local.userOf, metrics, stopping })
  const arranging = { deps: deps.punch ?? NO_PUNCHING, ...common }
  const punch = new PunchRequester({ ...arranging, userOf: local.userOf })
  const rendezvous = new Rendezvous(arranging)
  const observer = new DatagramObserver({ ...arranging, bounds: rendezvous.bounds })
  packets.onOther = observer.received
  const takePlace = (sourceId: string | undefined): (() => void) => requester.takePlace(sourceId)
  const relays = new JoinedConnections({ deps: relaying, reverse, takePlace, stopping })
  const joiner = new ConnectionJoiner({ self: reverse.peer, deps: relaying, ...common })
  let dialler: ReverseDialler | undefined
  return {
    all: carriers({ ...deps, relays, connectBack: (...args) => requester.connect(...args), punch }),
    openings: { [REVERSE_FIRST_BYTE]: requester, [RELAYED_FIRST_BYTE]: joiner, [PUNCH_FIRST_BYTE]: rendezvous },
    // An agent that must use one carrier sends nothing on another path.
    outside: deps.carrier === ANY_CARRIER ? new OutsidePort({ ...arranging, port: packets }) : undefined,
    get relayed() {
      return joiner.size
    },
    answers(server) {
      const invited = new PunchInvited({ ...arranging, serve: made => server.serveMade(made, PUNCHED_PATH) })
      const made = new ReverseDialler({ deps: reverse, serve: one => server.serveMade(one, one.path), ...common })
      dialler = made
      return {
        connectBack: (peer, request) => made.asked(peer, request),
        arrange: (peer, request, signal) => rendezvous.asked(peer, request, signal),
        seen: (peer, request, signal) => observer.asked(peer, request, signal),
        invited: (peer, request) => invited.invited(peer, request),
        relay: (opener, request) => joiner.asked(opener, request),
        connectToRelay(relay, request) {
          const { tokens, how } = askedByRelay(request, { self: reverse.peer, relay, via: relaying.machineOf(relay) })
          return made.dial(relay, tokens, how)
        }
      }
    },
    pathAppeared: peer => dialler?.pathAppeared(peer),
    review: () => joiner.review()
  }
}
