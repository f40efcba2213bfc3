import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { LOCAL_LIMITS } from '../../src/api/limits.ts'
import { MAX_WAITING } from '../../src/attest/attestor.ts'
import { PER_SECOND } from '../../src/attest/containers/finder.ts'
import { DEFAULT_LIMITS as HASHER } from '../../src/attest/hasher.ts'
import {
  REFUSALS as AUDIT_REFUSALS,
  MAX_WAITING as AUDIT_WAITING,
  DEFAULT_AUDIT_MEBIBYTES
} from '../../src/audit/log.ts'
import { MAX_SEARCHES, MAX_SEARCHES_PER_ADMIN, SEARCHES } from '../../src/audit/searches.ts'
import { AUTHORITY_REFUSALS, AUTHORITY_RENEWALS } from '../../src/ca/authorities/authority-service.ts'
import { REFUSALS } from '../../src/ca/join-service.ts'
import { MAX_TOKENS, MAX_USES } from '../../src/ca/joins/tokens.ts'
import { MAX_TRUSTS } from '../../src/ca/joins/trusts.ts'
import { RENEWAL_BURST, RENEWAL_REFUSALS } from '../../src/ca/rotation/renewal-service.ts'
import { MAX_CONNECTS, MAX_RATE } from '../../src/cli/options/usage-limits.ts'
import { RELAYS } from '../../src/cluster/ack-relay.ts'
import { SENDER_RATE } from '../../src/cluster/admins/set-exchange.ts'
import { ASKS } from '../../src/cluster/failure/failure-service.ts'
import { GATHERED } from '../../src/cluster/gather/gatherer.ts'
import { VERIFIED } from '../../src/cluster/questions/questions.ts'
import { LIMIT_NAMES, type LimitName, MAX_LOG_BACKLOG_BYTES, METRICS } from '../../src/core/index.ts'
import * as mesh from '../../src/mesh/limits.ts'
import { MAX_GRANTS, MAX_WITHDRAWALS } from '../../src/policy/admin-codec.ts'
import { MAX_BUNDLE_BYTES, MAX_ENTRIES, MAX_INVARIANTS, MAX_REVOCATIONS, MAX_RULES } from '../../src/policy/bundle.ts'
import { MAX_BACKLOG_BYTES } from '../../src/proxy/datagram/leg.ts'
import { MAX_PATH_DATAGRAM_BYTES } from '../../src/proxy/datagram/packet/index.ts'
import { MAX_REFRESHES } from '../../src/proxy/inbound/admission.ts'
import { PROOFS } from '../../src/proxy/inbound/inbound-proofs.ts'
import { DEFAULT_LIMITS as PROXY } from '../../src/proxy/limits.ts'
import * as punch from '../../src/proxy/punch/limits.ts'
import * as relayed from '../../src/proxy/relayed/limits.ts'
import * as reverse from '../../src/proxy/reverse/limits.ts'
import { MAX_JWT_KEYS } from '../../src/registry/head.ts'
import { MAX_DELTA_CHANGES, DEFAULT_LIMITS as REGISTRY } from '../../src/registry/limits.ts'
import { MAX_KEPT_JOINS, MAX_WAITING_HOSTS } from '../../src/state/join-store.ts'
import { MAX_DATAGRAM_BYTES } from '../../src/wire/index.ts'
import {
  MAX_APPLICATION_LENGTH,
  MAX_DNS_NAMES,
  MAX_LABEL_LENGTH,
  MAX_LABELS,
  MAX_PORTS,
  MAX_WHITELIST
} from '../../src/workloads/register-input.ts'
import { DEFAULT_LIMITS as WORKLOADS } from '../../src/workloads/room.ts'

const ROOT = join(import.meta.dirname, '..', '..')

const VALUES: Record<LimitName, number> = {
  log_backlog: MAX_LOG_BACKLOG_BYTES,
  audit_waiting: AUDIT_WAITING,
  audit_refusals: AUDIT_REFUSALS.burst,
  audit_mebibytes: DEFAULT_AUDIT_MEBIBYTES,
  audit_searches: MAX_SEARCHES,
  audit_searches_per_admin: MAX_SEARCHES_PER_ADMIN,
  audit_search_rate: SEARCHES.burst,
  api_connections: LOCAL_LIMITS.maxConnections,
  api_connections_per_uid: LOCAL_LIMITS.maxConnectionsPerUid,
  api_calls_per_uid: LOCAL_LIMITS.maxCallsPerUid,
  api_watches_per_uid: LOCAL_LIMITS.maxWatchesPerUid,
  api_waiting_bytes: LOCAL_LIMITS.waitingBytes,
  api_bytes_per_second: LOCAL_LIMITS.bytesPerSecond,
  registrations: WORKLOADS.maxTotal,
  registrations_per_uid: WORKLOADS.maxPerUid,
  registration_whitelist: MAX_WHITELIST,
  registration_labels: MAX_LABELS,
  registration_label_length: MAX_LABEL_LENGTH,
  registration_ports: MAX_PORTS,
  registration_dns_names: MAX_DNS_NAMES,
  registration_application_length: MAX_APPLICATION_LENGTH,
  attest_waiting: MAX_WAITING,
  container_lookups: PER_SECOND,
  hash_waiting: HASHER.maxWaiting,
  hash_file_bytes: HASHER.maxBytes,
  hash_bytes_per_second: HASHER.bytesPerSecond,
  join_refusals: REFUSALS.burst,
  join_tokens: MAX_TOKENS,
  token_uses: MAX_USES,
  join_trusts: MAX_TRUSTS,
  waiting_hosts: MAX_WAITING_HOSTS,
  kept_joins: MAX_KEPT_JOINS,
  renewal_refusals: RENEWAL_REFUSALS.burst,
  renewals_per_host: RENEWAL_BURST,
  authority_refusals: AUTHORITY_REFUSALS.burst,
  authority_renewals: AUTHORITY_RENEWALS.burst,
  probe_asks: ASKS.perSecond,
  ack_relays: RELAYS.perSecond,
  gathered_answers: GATHERED.perSecond,
  mesh_questions: VERIFIED.perSecond,
  policy_rules: MAX_RULES,
  policy_entries: MAX_ENTRIES,
  policy_revocations: MAX_REVOCATIONS,
  policy_invariants: MAX_INVARIANTS,
  policy_admins: MAX_GRANTS,
  policy_withdrawals: MAX_WITHDRAWALS,
  policy_set_rate: SENDER_RATE.perSecond,
  policy_bytes: MAX_BUNDLE_BYTES,
  registry_owners: REGISTRY.maxOwners,
  registry_total_bytes: REGISTRY.maxTotalBytes,
  registry_records: REGISTRY.maxRecords,
  registry_record_bytes: REGISTRY.maxRecordBytes,
  registry_set_bytes: REGISTRY.maxSetBytes,
  registry_bucket_bytes: REGISTRY.maxBucketBytes,
  registry_labels: REGISTRY.maxLabels,
  registry_label_length: REGISTRY.maxLabelLength,
  registry_ports: REGISTRY.maxPorts,
  registry_whitelist: REGISTRY.maxWhitelist,
  registry_addresses: REGISTRY.maxAddresses,
  registry_capabilities: REGISTRY.maxCapabilities,
  registry_jwt_keys: MAX_JWT_KEYS,
  registry_chain: REGISTRY.maxChain,
  registry_gossip_rate: REGISTRY.gossipPerSecond,
  registry_invalid_rate: REGISTRY.gossipPerSecond,
  registry_message_bytes: REGISTRY.maxResponseBytes,
  registry_message_fields: MAX_DELTA_CHANGES + 32,
  mesh_gossip_bytes: mesh.MAX_GOSSIP_BYTES,
  mesh_gossip_rate: mesh.GOSSIP_RATE.perSecond,
  mesh_gossip_waiting_bytes: mesh.MAX_GOSSIP_WAITING_BYTES,
  mesh_request_rate: mesh.REQUEST_RATE.perSecond,
  mesh_requests_per_peer: mesh.MAX_REQUESTS_PER_PEER,
  mesh_requests: mesh.MAX_REQUESTS,
  mesh_request_bytes: mesh.MAX_EXCHANGE_BYTES,
  mesh_relay_rate: mesh.RELAY_RATE.perSecond,
  mesh_relayed_per_peer: mesh.MAX_RELAYED_PER_PEER,
  mesh_relayed: mesh.MAX_RELAYED,
  mesh_pending_connections: mesh.MAX_PENDING_CONNECTIONS,
  mesh_pending_connections_per_host: mesh.MAX_PENDING_CONNECTIONS_PER_HOST,
  proxy_flows: PROXY.flows,
  proxy_flows_per_workload: PROXY.flowsPerWorkload,
  // The other agent grants as many streams as one of its workloads may have flows.
  proxy_flows_per_session: PROXY.flowsPerWorkload,
  proxy_connects_per_workload: PROXY.connectsPerWorkload,
  // Neither has a default: the most that a rule can be given.
  proxy_connects_per_rule: MAX_CONNECTS,
  proxy_bytes_per_second: MAX_RATE,
  proxy_waiting_bytes: PROXY.waitingBytes,
  proxy_waiting_bytes_per_workload: PROXY.waitingBytesPerWorkload,
  proxy_waiting_bytes_per_session: PROXY.waitingBytesPerSession,
  proxy_resume_bytes: PROXY.resumeBytes,
  proxy_resume_bytes_per_workload: PROXY.resumeBytesPerWorkload,
  proxy_sessions: PROXY.sessions,
  proxy_sessions_per_machine: PROXY.sessionsPerMachine,
  proxy_pending_dials: PROXY.pendingDials,
  proxy_pending_handshakes: PROXY.pendingHandshakes,
  proxy_pending_handshakes_per_host: PROXY.pendingHandshakesPerHost,
  proxy_relay_rate: relayed.JOIN_RATE.perSecond,
  proxy_relayed: relayed.MAX_JOINED,
  proxy_relayed_per_host: relayed.MAX_JOINED_PER_HOST,
  proxy_reverse_rate: reverse.REVERSE_RATE.perSecond,
  proxy_reverse_dials: reverse.MAX_REVERSE_DIALS,
  proxy_reverse_dials_per_host: reverse.MAX_REVERSE_DIALS_PER_HOST,
  proxy_reverse_waiting: reverse.MAX_REVERSE_WAITING,
  proxy_reverse_waiting_per_user: reverse.MAX_REVERSE_WAITING_PER_USER,
  proxy_punch_rate: punch.PUNCH_RATE.perSecond,
  proxy_punch_asks: punch.MAX_PUNCH_ASKS,
  proxy_punch_asks_per_host: punch.MAX_PUNCH_ASKS_PER_HOST,
  proxy_punch_invites: punch.MAX_PUNCH_INVITES,
  proxy_punch_invites_per_host: punch.MAX_PUNCH_INVITES_PER_HOST,
  proxy_punch_meetings: punch.MAX_MEETINGS,
  proxy_punch_meetings_per_host: punch.MAX_MEETINGS_PER_HOST,
  proxy_punch_waiting: punch.MAX_PUNCH_WAITING,
  proxy_punch_waiting_per_user: punch.MAX_PUNCH_WAITING_PER_USER,
  proxy_endpoints_per_uid: PROXY.endpointsPerUid,
  proxy_listeners_per_uid: PROXY.listenersPerUid,
  proxy_fastpath_connections: PROXY.fastPathConnections,
  proxy_joins: PROXY.joins,
  proxy_joins_per_host: PROXY.joinsPerHost,
  proxy_renewals: PROXY.joins,
  proxy_renewals_per_host: PROXY.joinsPerHost,
  proxy_proofs_per_session: PROOFS.burst,
  proxy_source_pulls: MAX_REFRESHES,
  proxy_datagrams_per_second: PROXY.datagramsPerSecond,
  proxy_datagram_bytes: MAX_DATAGRAM_BYTES,
  proxy_datagram_path_bytes: MAX_PATH_DATAGRAM_BYTES,
  proxy_datagram_backlog: MAX_BACKLOG_BYTES
}

const UNITS: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1024 * 1024 }

function documented(text: string): number {
  const [number = '', unit = ''] = text.split(' ')
  return Number(number.replaceAll(',', '')) * (UNITS[unit] ?? 1)
}

test('every limit is documented with the figure that it has, and no other is', () => {
  const page = readFileSync(join(ROOT, 'docs', 'limits.md'), 'utf8')
  const rows = [...page.matchAll(/^\| `(\w+)` \| ([^|]+) \|/gm)].map(([, name, value = '']) => [
    name,
    documented(value.trim())
  ])
  assert.deepEqual(Object.fromEntries(rows), VALUES)
})

test('every limit is counted where it is reached, and every metric is filled', () => {
  const code = globSync('src/**/*.ts', { cwd: ROOT })
    .filter(file => !/metrics\/(limit-names|definitions)\.ts$/.test(file))
    .map(file => readFileSync(join(ROOT, file), 'utf8'))
    .join('\n')
  const unused = [...LIMIT_NAMES, ...Object.keys(METRICS)].filter(name => !code.includes(`'${name}'`))
  assert.deepEqual(unused, [])
})

test('every metric is documented with its labels, and no other is', () => {
  const page = readFileSync(join(ROOT, 'docs', 'metrics.md'), 'utf8')
  const rows = [...page.matchAll(/^\| `(\w+)` \| (\w+) \| ([^|]*) \|/gm)].map(([, name, kind, labels = '']) => [
    name,
    `${kind} ${labels.replaceAll('`', '').trim()}`.trim()
  ])
  const expected = Object.entries(METRICS).map(([name, { kind, labels }]) => [
    name,
    `${kind} ${Object.keys(labels).join(', ')}`.trim()
  ])
  assert.deepEqual(Object.fromEntries(rows), Object.fromEntries(expected))
})
