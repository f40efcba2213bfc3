export { AckRelay } from './ack-relay.ts'
export { AddressWatch } from './addresses/address-watch.ts'
export { parseAdvertise } from './addresses/advertise.ts'
export { AnnouncedHosts, MAX_SHOWN_LEFT_OUT } from './addresses/announced.ts'
export {
  AdminSets,
  AdminStore,
  adminSetsOn,
  type KeyElsewhere,
  type Signing,
  type WantedSignature
} from './admins/index.ts'
export { Announcer } from './announcer.ts'
export { AUTHORITY_CAPABILITY, AuthorityStore } from './authority-store.ts'
export { Authorizer } from './authorizer.ts'
export { capabilitiesOf } from './capabilities.ts'
export { wireCarriers } from './carrier-wiring.ts'
export { Enforcement } from './enforcement.ts'
export { Evictions } from './evictions.ts'
export {
  type ExplainDeps,
  type ExplainRequest,
  type Explanation,
  explain,
  type Found,
  type Reach,
  reachOf
} from './explain/index.ts'
export { FailureService } from './failure/index.ts'
export { followRegistry, type Versioned } from './follow-registry.ts'
export { gatherOnMesh } from './gather/index.ts'
export { handOnRegistry } from './handed-registry.ts'
export { HeardMembers } from './heard-members.ts'
export { type Inquiries, inquiriesOnMesh } from './inquiries.ts'
export { type LostHost, LostHosts } from './lost-hosts.ts'
export { MemberStore } from './member-store.ts'
export { meshPortParts } from './mesh-port.ts'
export { policyTransport, probe, wireMesh } from './mesh-wiring.ts'
export type { Ask, HostObservation, Observations, Told } from './observations/index.ts'
export { PolicyService } from './policy-service.ts'
export { PolicyStore } from './policy-store.ts'
export { type Consequences, previewPolicy } from './preview.ts'
export { punchParts } from './punch-wiring.ts'
export { Readiness } from './readiness.ts'
export type { HostReceipt, Receipts } from './receipts/index.ts'
export { RegistryService } from './registry-service.ts'
export { ackThrough, registryTransport } from './registry-transport.ts'
export { relayParts } from './relay-wiring.ts'
export type { Replication, WaitMode } from './replication.ts'
export { dataPorts, reverseParts, wireReverse } from './reverse-wiring.ts'
export { type Route, Routing } from './routing.ts'
export { RuleUse } from './rule-use.ts'
export { silentHostsOf } from './silent-hosts.ts'
export { Trust } from './trust.ts'
export { TrustService } from './trust-service.ts'
export { askForTrust, wireTrust } from './trust-wiring.ts'
