import { type Address, formatAddress } from '../../identity/index.ts'
import type { Decision } from '../../policy/index.ts'

/** Four components: the address on any machine. */
export function nameOf(address: Address): string {
  return formatAddress(address).split('.').slice(0, -1).join('.')
}

/** What to do about a denial. */
export function afterDenial({ ground, rule, text }: Decision, source: Address, destination: Address): string {
  switch (ground) {
    case 'RULE':
      return `if the rule is not meant for this: warren policy remove ${rule}, on the host of who set it`
    case 'REVOKED':
      return `if it is to be trusted again: warren unrevoke ${rule}, on the founding host; an evicted host joins anew with a new token`
    case 'LEASE':
      return 'start a host of an admin, and let this one reach it: docs/policy-lease.md'
    case 'ERROR':
      return text.endsWith('is not registered') ? 'register it: warren services shows what is' : 'docs/runbook.md'
    default:
      return `if it is to be allowed, on the host that sets policy: warren allow ${nameOf(source)} ${nameOf(destination)}`
  }
}

const BLOCKED = /firewall|nothing comes back|reset at once/
const NOBODY = /nobody listens there/
const OTHER = /another program|no agent|says nothing|the agent of|another trust domain|other keys|not trusted/

/** What to do about a path that does not lead to a host. */
export function afterNoPath(machine: string, text: string): string {
  if (OTHER.test(text))
    return `on ${machine}: ss -ltnp shows who has the port; docs/runbook.md explains each of these texts`
  if (NOBODY.test(text)) return `on ${machine}: start its agent (systemctl status warren), or open the port`
  if (BLOCKED.test(text))
    return `see whether ${machine} is up; open TCP and UDP 7461 and TCP 7460 to it, in both directions`
  return `on ${machine}: warren doctor; open TCP and UDP 7461 and TCP 7460 between the hosts`
}

/** What to do about a worse path than the direct one; empty if it is the direct one. */
export function afterDetour(machine: string, text: string): string {
  if (text.startsWith('direct')) return ''
  if (!BLOCKED.test(text) && !NOBODY.test(text)) return ''
  return `for the direct path, open TCP and UDP 7461 of ${machine} to the hosts that connect`
}
