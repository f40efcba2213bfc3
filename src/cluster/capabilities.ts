import { CONTENT_DIGEST_CAPABILITY } from '../registry/index.ts'
import { POLICY_LEASE_CAPABILITY } from './lease/index.ts'
import { MESH_PORT_CAPABILITY } from './mesh-port.ts'
import { PUNCH_CAPABILITY, PUNCH_DATAGRAMS_CAPABILITY } from './punch-wiring.ts'
import { HOST_QUESTIONS_CAPABILITY, QUESTIONS_CAPABILITY } from './questions/index.ts'
import { RELAY_CAPABILITY } from './relay-wiring.ts'

/** What every host of this program can do; others ask it for nothing else. */
const CAPABILITIES: readonly string[] = Object.freeze([
  'tcp',
  CONTENT_DIGEST_CAPABILITY,
  QUESTIONS_CAPABILITY,
  HOST_QUESTIONS_CAPABILITY,
  MESH_PORT_CAPABILITY,
  PUNCH_CAPABILITY,
  PUNCH_DATAGRAMS_CAPABILITY,
  RELAY_CAPABILITY
])

/** What a host that is configured so can do, or needs. */
export function capabilitiesOf({ policyLeaseMs }: { readonly policyLeaseMs?: number }): readonly string[] {
  return policyLeaseMs === undefined ? CAPABILITIES : [...CAPABILITIES, POLICY_LEASE_CAPABILITY]
}
