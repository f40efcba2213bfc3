import { type AgentClient, connect, defaultSource, type Strategy } from '../../../client/index.ts'
import { withNextStep } from '../../output/index.ts'
import { explainRefusal } from './explain.ts'
import { LocalProxy, type LocalProxyOptions } from './proxy.ts'

export interface MeshProxyOptions extends Pick<LocalProxyOptions, 'uidOf' | 'uids' | 'keepAliveMs' | 'onFailure'> {
  readonly client: AgentClient
  /** @default SCOPE.user.YOU.default, in the scope of each destination */
  readonly as?: string | undefined
  readonly strategy: Strategy
  /** Name for people. */
  readonly application: string
}

/** A proxy whose connections are those of a workload of this agent. */
export function meshProxy({ client, as, strategy, application, ...options }: MeshProxyOptions): LocalProxy {
  const sourceFor = (destination: string): string => as ?? defaultSource(destination)
  return new LocalProxy({
    ...options,
    open: async (destination, signal) => {
      const source = sourceFor(destination)
      try {
        return await connect(destination, { client, as: source, strategy, signal, explicitEnd: true, application })
      } catch (err) {
        throw withNextStep(err, source, destination)
      }
    },
    explain: (err, destination, signal) => explainRefusal(client, err, sourceFor(destination), destination, signal)
  })
}
