import type { Clock } from '../core/index.ts'
import { type Address, sameAddress } from '../identity/index.ts'
import type { Decision } from '../policy/index.ts'
import { Authorizer, type PolicyHere } from './authorizer.ts'
import type { LostHosts } from './lost-hosts.ts'
import type { Route, Routing } from './routing.ts'

export interface SilentHosts {
  /** Whether the lease of the machine has ended, and it has said nothing of it. */
  readonly isSilent: (machine: string) => boolean
  /** The policy, by the last announcement of the host of the destination. Never throws. */
  readonly authorize: (question: Parameters<Authorizer['authorize']>[0]) => Decision
}

/** What is known of the hosts whose lease has ended without a word. New connections must not rest on it. */
export function silentHostsOf(
  {
    lost,
    routing,
    policy
  }: {
    readonly lost: LostHosts
    readonly routing: Pick<Routing, 'exact'>
    readonly policy: PolicyHere
  },
  clock: Pick<Clock, 'wallMs'>
): SilentHosts {
  const silent = (machine: string) =>
    lost.all().find(({ last, reason }) => last.machine === machine && reason === 'silent')
  const exact = (registrationId: string, address: Address): Route | undefined => {
    const known = routing.exact(registrationId, address)
    if (known !== undefined) return known
    const host = silent(address.machine)
    const record = host?.served.find(
      served => served.registrationId === registrationId && sameAddress(served.address, address)
    )
    if (host === undefined || record === undefined) return undefined
    const { peer, machine, dataAddresses, draining } = host.last
    return {
      ...record,
      peer,
      machine,
      dataAddresses,
      draining,
      suspect: true,
      local: false,
      sessionVersions: undefined
    }
  }
  const authorizer = new Authorizer(policy, { exact }, clock)
  return {
    isSilent: machine => silent(machine) !== undefined,
    authorize: question => authorizer.authorize(question)
  }
}
