import { type AgentClient, connect, defaultSource, type Strategy } from '../../../client/index.ts'
import { withNextStep } from '../../output/index.ts'
import type { UidOfSender } from './callers.ts'
import { explainRefusal } from './explain.ts'
import { LocalProxy, type LocalProxyOptions } from './proxy.ts'

export interface MeshProxyOptions
  extends Pick<LocalProxyOptions, 'uidOf' | 'uids' | 'keepAliveMs' | 'onFailure' | 'scope'> {
  readonly client: AgentClient
  /** Undefined: its clients can send no datagrams. */
  readonly uidOfSender: UidOfSender | undefined
  /** Told of dropped datagrams. */
  readonly onDrops: (text: string) => void
  /** @default SCOPE.user.YOU.default, in the scope of each destination */
  readonly as?: string | undefined
  readonly strategy: Strategy
  /** Name for people. */
  readonly application: string
}

/** A proxy whose connections are those of a workload of this agent. */
export function meshProxy(all: MeshProxyOptions): LocalProxy {
  const { client, as, strategy, application, uidOfSender, onDrops, ...options } = all
  const sourceFor = (destination: string): string => as ?? defaultSource(destination)
  const opened = async <T>(destination: string, connecting: (as: string) => Promise<T>): Promise<T> => {
    const source = sourceFor(destination)
    try {
      return await connecting(source)
    } catch (err) {
      throw withNextStep(err, source, destination)
    }
  }
  const shared = { client, strategy, application }
  return new LocalProxy({
    ...options,
    open: (destination, signal) =>
      opened(destination, source => connect(destination, { ...shared, as: source, signal, explicitEnd: true })),
    datagrams: uidOfSender && {
      uidOfSender,
      onDrops,
      open: (destination, signal) =>
        opened(destination, source => connect(destination, { ...shared, as: source, signal, protocol: 'udp' }))
    },
    explain: (err, destination, signal) => explainRefusal(client, err, sourceFor(destination), destination, signal)
  })
}
