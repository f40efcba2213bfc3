import { Socket } from 'node:net'
import type { ByteLeg, Cut, Flow } from '../flow/index.ts'
import { socketLeg } from '../legs/index.ts'
import { AckChannel, Continuity, type ContinuityState, type ResumeLink } from '../resume/index.ts'
import { Moves } from './moves.ts'
import { relay } from './relay.ts'
import { ResumableLeg } from './resumable-leg.ts'
import type { Resuming } from './resuming.ts'
import type { SideName } from './side.ts'

/** A flow as another process of this agent has left it. */
export interface LeftLeg {
  readonly localIs: SideName
  readonly explicitEnd: boolean
  /** The workload's socket. */
  readonly fd: number
  readonly state: ContinuityState
  readonly kept: Buffer
  readonly link: Omit<ResumeLink, 'acks' | 'ref'>
}

/** Continues a flow that another process has left: it waits for a path. Resolves when it has ended. Never rejects. */
export function continueFlow(flow: Flow, left: LeftLeg, resuming: Resuming): Promise<Cut | undefined> {
  const { localIs, explicitEnd, fd, state, kept } = left
  const socket = new Socket({ fd, allowHalfOpen: true })
  socket.pause()
  const near = socketLeg(socket, explicitEnd)
  const moves = new Moves(flow, { localIs, leg: near, socket, explicitEnd })
  const link: ResumeLink = { ...left.link, acks: new AckChannel(), ref: { id: 0, number: 0 } }
  const account = resuming.accountOf(flow)
  const leg: ResumableLeg = new ResumableLeg(
    NO_LEG,
    {
      link,
      account,
      windowMs: resuming.windowMs,
      events: {
        waits: one => resuming.waits(flow, one),
        resumed: (one, carrier) => resuming.resumed(flow, one, carrier),
        over: (one, kind) => resuming.over(flow, one, kind),
        onPath: far => {
          if (leg.mayMove) moves.onStream(joined, far, leg)
        }
      }
    },
    Continuity.restored(state, kept, account)
  )
  resuming.began(flow, leg, link, { localIs, leg: near, explicitEnd })
  const joined = localIs === 'source' ? relay(flow, near, leg) : relay(flow, leg, near)
  if (state.hasReceivedEnd) near.end()
  leg.begin()
  return joined.over
}

const NO_LEG: ByteLeg = {
  copies: true,
  deliveredBytes: 0,
  waitingBytes: 0,
  limit: () => {},
  subscribe: () => {},
  send: () => false,
  end: () => {},
  pause: () => {},
  resume: () => {},
  delivered: () => {},
  abort: () => {},
  close: () => {}
}
