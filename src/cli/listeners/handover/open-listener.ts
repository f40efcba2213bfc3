import type { Protocol } from '../../../core/index.ts'
import { type Endpoint, holdSockets, loadPassing, type PassingCalls, socketsAt } from '../../../listeners/index.ts'
import { Handover, type HandoverOptions } from './handover.ts'
import type { AgentListener } from './pass-listener.ts'

export interface OpenListenerOptions extends Pick<HandoverOptions, 'own' | 'say'> {
  /** Passes sockets to the agent. */
  readonly pass: (calls: PassingCalls, descriptors: readonly number[], signal: AbortSignal) => Promise<AgentListener>
}

/**
 * Binds a listener, and lets the agent take its clients where that is possible. Rejects as `holdSockets` does.
 *
 * `close` disconnects every client, and frees the port or path.
 */
export async function openListener(
  endpoint: Endpoint,
  protocol: Protocol,
  { own, pass, say }: OpenListenerOptions
): Promise<{ readonly bound: string; readonly close: () => Promise<void> }> {
  const calls = await loadPassing()
  const held = calls === undefined ? undefined : await holdSockets(endpoint, protocol, calls)
  if (calls === undefined || held === undefined) {
    return { bound: await own.listen(socketsAt(endpoint)), close: async () => await own.close() }
  }
  const handover = new Handover({ held, own, say, pass: signal => pass(calls, held.descriptors, signal) })
  try {
    await handover.begin()
  } catch (err) {
    await handover.close()
    throw err
  }
  return { bound: held.bound, close: () => handover.close() }
}
