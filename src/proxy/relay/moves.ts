import type { Socket } from 'node:net'
import type { ByteLeg, Cut, Flow } from '../flow/index.ts'
import { type DuplexLeg, reuseReads } from '../legs/index.ts'
import type { StreamEnd } from './ends.ts'
import type { Relay } from './relay.ts'
import { ResumableLeg } from './resumable-leg.ts'
import type { SideName } from './side.ts'
import { upgrade } from './upgrade.ts'

/** The end of a flow at a workload's socket. */
export interface NearSocket {
  readonly localIs: SideName
  readonly leg: DuplexLeg
  readonly socket: Socket
  readonly explicitEnd: boolean
}

/** Lets a flow move from streams to fast-path connections of its own. */
export class Moves {
  readonly #flow: Flow
  readonly #near: NearSocket
  #isReused = false

  constructor(flow: Flow, near: NearSocket) {
    this.#flow = flow
    this.#near = near
  }

  /** The flow is on a stream now, which `leg` sends to. */
  onStream(joined: Relay, { stream, upgradePath: path }: StreamEnd, leg: ByteLeg): void {
    if (path === undefined) return
    const side = this.#near.localIs === 'source' ? 'destination' : 'source'
    upgrade({ flow: this.#flow, relay: joined, side, stream, path, onMoved: this.onMoved, ...pathOf(leg, joined) })
  }

  readonly onMoved = (leg: ByteLeg): void => {
    if (this.#isReused) return
    this.#isReused = true
    const { leg: near, socket, explicitEnd } = this.#near
    reuseReads(near, socket, leg, explicitEnd)
  }
}

/** The path that carries a flow now. */
interface PathNow {
  readonly over: Promise<Cut | undefined>
  readonly isOver: () => boolean
}

function pathOf(leg: ByteLeg, joined: Relay): PathNow {
  if (!(leg instanceof ResumableLeg)) return { over: joined.over, isOver: () => joined.isClosed }
  const { path } = leg
  return { over: path.over, isOver: () => path.isOver }
}
