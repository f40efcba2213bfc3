import {
  ErrorCode,
  type Metrics,
  type Protocol,
  ShortSignal,
  silentMetrics,
  WarrenError,
  within
} from '../../core/index.ts'
import { formatAddress, type Pattern } from '../../identity/index.ts'
import { EXPECTED_CARRIER } from '../carriers/index.ts'
import type { ProxyDeps } from '../deps.ts'
import { type Cut, type FirstBytes, type Flow, type FlowTable, newFlowId } from '../flow/index.ts'
import { type FlowEnd, type FlowEnds, joinFlow } from '../relay/index.ts'
import { OPEN_TIMEOUT_MS, UDP_IDLE_MS } from '../timing.ts'
import type { Strategy } from './balance.ts'
import type { SourceHandle } from './endpoint.ts'
import type { Outbound, Reached } from './outbound.ts'

/** The flow that a source asks for. */
export interface FlowRequest {
  readonly source: SourceHandle
  readonly destination: Pattern
  readonly protocol: Protocol
  readonly strategy: Strategy
  /** The instance to try first, if it still exists. */
  readonly preferred?: string | undefined
  /** What its client has sent so far; undefined if it waits for an answer first. */
  readonly first?: FirstBytes | undefined
}

export interface SourceFlowsOptions {
  readonly deps: ProxyDeps
  readonly flows: FlowTable
  readonly outbound: Outbound
  readonly stopping: AbortSignal
}

/** The flow that a source gets, from its request to its end. */
export interface SourceFlow {
  readonly id: string
  /** The ends of the flow once it is open; called at most once. */
  readonly ends: (opened: Reached & { readonly end: FlowEnd }) => FlowEnds
  /** The flow begins to be opened. It can be cut from now on. */
  readonly entered?: (flow: Flow) => void
  /** The flow was open, and has ended before its ends did. */
  readonly cut?: (cut: Cut) => void
  /** The flow was not opened. */
  readonly refused: (error: WarrenError) => void
}

/** Opens flows of the sources of this host, and carries them to their end. */
export class SourceFlows {
  readonly #deps: ProxyDeps
  readonly #flows: FlowTable
  readonly #outbound: Outbound
  readonly #stopping: AbortSignal
  readonly #metrics: Metrics

  constructor({ deps, flows, outbound, stopping }: SourceFlowsOptions) {
    this.#deps = deps
    this.#flows = flows
    this.#outbound = outbound
    this.#stopping = stopping
    this.#metrics = deps.metrics ?? silentMetrics
  }

  /** Resolves when the flow has ended, or was refused. */
  async carry(request: FlowRequest, make: (id: string) => SourceFlow): Promise<void> {
    const { source, destination, protocol, strategy, preferred, first } = request
    const { id, ends, entered, cut: onCut, refused } = make(newFlowId())
    let flow: Flow
    try {
      flow = this.#enter(source, protocol, id)
    } catch (err) {
      refused(WarrenError.from(err))
      return
    }
    entered?.(flow)
    const { signal } = flow
    try {
      this.requireAlive(source)
      const opened = await within(
        OPEN_TIMEOUT_MS,
        [signal, this.#stopping],
        limit => this.#outbound.open(flow, { destination, protocol, strategy, preferred, first }, limit),
        new ShortSignal()
      )
      first?.settle()
      const joined = ends(opened)
      const { udpIdleMs: idleMs = UDP_IDLE_MS } = this.#deps
      this.#flows.opened(flow)
      const cut = await joinFlow(flow, joined, { idleMs, metrics: this.#metrics })
      this.#flows.finish(flow, cut)
      if (cut !== undefined && cut.kind !== 'done') onCut?.(cut)
    } catch (err) {
      const error = openError(err, destination)
      this.#flows.end(flow, error.reason, error.code)
      refused(error)
    }
  }

  /** Throws INVALID_SOURCE unless the source is registered and its process runs. */
  requireAlive({ registrationId, address }: SourceHandle): void {
    if (this.#stopping.aborted || !this.#deps.local.isAlive(registrationId)) {
      throw new WarrenError(ErrorCode.InvalidSource, `${formatAddress(address)} is not registered`)
    }
  }

  #enter(source: SourceHandle, protocol: Protocol, id: string): Flow {
    return this.#flows.enter({
      id,
      direction: 'outbound',
      source: source.address,
      sourceId: source.registrationId,
      sourceMachine: this.#deps.machine,
      protocol,
      carrier: EXPECTED_CARRIER
    })
  }
}

/** Converts the failure to open a flow to an error of Connect. */
export function openError(err: unknown, destination: Pattern): WarrenError {
  if (err instanceof DOMException && err.name === 'TimeoutError') {
    return new WarrenError(ErrorCode.DestinationUnreachable, `${destination.text} did not answer in time`, {
      cause: err
    })
  }
  return WarrenError.from(err)
}
