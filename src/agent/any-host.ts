import { type HostPort, wildcard } from '../core/index.ts'
import { ANY_HOST, type ResolvedConfig } from './config.ts'

/** The same configuration, with an address for each listener without a host. */
export async function withListeners(config: ResolvedConfig): Promise<ResolvedConfig> {
  const { listen, dataListen } = config
  if (listen.host !== ANY_HOST && dataListen.host !== ANY_HOST) return config
  const any = await wildcard()
  const placed = ({ host, port }: HostPort): HostPort => ({ host: host === ANY_HOST ? any : host, port })
  return Object.freeze({ ...config, listen: placed(listen), dataListen: placed(dataListen) })
}
