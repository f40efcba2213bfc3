import type { AckChannel, FlowRef } from './ack-channel.ts'

/** The certificate that the other end has proved last. */
export interface ProvenPeer {
  readonly leafDer: Uint8Array
  readonly machine: string
}

/** What a session offers to a flow that it carries, if both agents resume flows. */
export interface ResumeLink {
  readonly acks: AckChannel
  readonly ref: FlowRef
  /** Names the flow from its beginning to its end, whatever carries it. */
  readonly key: string
  readonly secret: Buffer
  readonly peer: () => ProvenPeer
  /** The flow has left the session. */
  readonly left?: () => void
}
