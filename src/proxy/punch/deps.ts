import { ErrorCode, type HostPort, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'

/** The parts of the agent that punched connections use. */
export interface PunchDeps {
  /** The key of this host. */
  readonly peer: PeerKey
  /** Sends an ask to a member and resolves with its answer; rejects with its refusal. */
  readonly ask: (member: PeerKey, request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
  /** Sends an invitation to a member that is connected. Rejects with its refusal, or if it is not. */
  readonly invite: (member: PeerKey, request: Uint8Array, signal: AbortSignal) => Promise<void>
  /** Connected members that can arrange a connection to the agent `peer`; none if that agent makes no such connections. */
  readonly rendezvousFor: (peer: PeerKey) => readonly PeerKey[]
  /** Asks a member from where it sees the datagrams of this host come, and resolves with its answer; rejects with its refusal. */
  readonly seen: (member: PeerKey, request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
  /** Connected members that can tell that, other than the agent `peer`; none if that agent is not to be told. */
  readonly observersFor: (peer: PeerKey) => readonly PeerKey[]
  /** The data port of an admitted agent: where it has proved itself, and a port that it has signed. Empty if it is not known. */
  readonly dataPortsOf: (peer: PeerKey) => readonly HostPort[]
  /** The name of a member, for people. */
  readonly machineOf: (peer: PeerKey) => string
}

const NOWHERE = async (): Promise<never> => {
  throw new WarrenError(ErrorCode.Unsupported, 'this agent makes no connections between NATs')
}

/** Of an agent that makes no such connections. */
export const NO_PUNCHING: PunchDeps = {
  peer: '' as PeerKey,
  ask: NOWHERE,
  invite: NOWHERE,
  seen: NOWHERE,
  rendezvousFor: () => [],
  observersFor: () => [],
  dataPortsOf: () => [],
  machineOf: () => ''
}
