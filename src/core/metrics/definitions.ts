import { ErrorCode } from '../errors.ts'
import { counter, gauge, type HistogramDefinition, type Labels, type MetricDefinition } from './kinds.ts'
import { LIMIT_NAMES } from './limit-names.ts'
import { PROCESS_METRICS } from './process-definitions.ts'

export type { CounterDefinition, GaugeDefinition, HistogramDefinition, Labels, MetricDefinition } from './kinds.ts'

/** Label value for anything that is not in the list of its label. */
export const OTHER = 'other'

function histogram<const L extends Labels>(
  labels: L,
  buckets: readonly number[],
  help: string
): HistogramDefinition<L> {
  return { kind: 'histogram', help, labels, buckets }
}

const BYTE_DIRECTION = ['in', 'out'] as const
const PROTOCOL = ['tcp', 'udp'] as const
const DIRECTION = ['outbound', 'inbound', 'local'] as const
const CODES = Object.values(ErrorCode)
const PUSH_TARGET = ['1', '2', '3', '4'] as const

/**
 * Every metric of an agent. Operators rely on the names: `docs/metrics.md` lists them, and a test compares the two.
 *
 * No label ever holds data that a peer or a workload chose: no address, machine, peer, path or text of an error.
 */
export const METRICS = Object.freeze({
  warren_limit_hits_total: counter(
    { limit: LIMIT_NAMES },
    'Times that a limit was reached; docs/limits.md lists the limits.'
  ),

  warren_members: gauge(
    { state: ['self', 'connected', 'alive', 'suspect'] },
    'Hosts with a valid lease. connected: to this host; alive: known through other hosts.'
  ),
  warren_probes_total: counter(
    { path: ['direct', 'relayed'], result: ['answered', 'missed'] },
    'Pings of the failure detector. direct: to the member itself; relayed: by another member on request.'
  ),
  warren_suspicions_total: counter(
    { change: ['suspected', 'answers_again'] },
    'Members that this host began, or stopped, to skip because they do not answer.'
  ),
  warren_joins_total: counter(
    { result: ['admitted', 'refused'] },
    'Hosts that asked this authority to admit them with a join token.'
  ),
  warren_mesh_connections: gauge({}, 'Hosts with an open mesh connection to this one.'),
  warren_mesh_relayed_streams: gauge(
    {},
    'Streams, and pairs of connections, between two other hosts that this one joins.'
  ),
  warren_mesh_relays_total: counter(
    { result: ['joined', 'no_path', 'refused'] },
    'Streams and connections that others asked this host to join to a third. refused: a limit, or no third.'
  ),
  warren_mesh_relayed_bytes_total: counter(
    {},
    'Bytes of relayed streams and connections in both directions, counted at their end.'
  ),
  warren_registry_acks_relayed_total: counter(
    { result: ['delivered', 'failed'] },
    'Acknowledgements of other hosts that this one forwarded to a third.'
  ),

  warren_registry_owners: gauge({}, 'Hosts whose records are held, this one among them.'),
  warren_registry_records: gauge({}, 'Records held, of all hosts.'),
  warren_registry_bytes: gauge({}, 'Bytes of all records held, as they are signed.'),
  warren_registry_high_water_marks: gauge({}, 'Hosts whose high-water mark is held, also beyond their leases.'),
  warren_registry_quarantined: gauge({}, 'Hosts whose messages are ignored because of what they signed.'),
  warren_registry_gossip_total: counter(
    {
      outcome: [
        'applied',
        'duplicate',
        'gap',
        'mismatch',
        'unknown_owner',
        'own',
        'expired',
        'future',
        'stale',
        'quarantined',
        'equivocation',
        'invalid_set',
        'rate',
        'forged',
        'malformed',
        OTHER
      ]
    },
    'Messages of registry gossip, by outcome. gap, mismatch and unknown_owner are followed by a synchronisation.'
  ),
  warren_registry_sync_sessions_total: counter(
    { result: ['ok', 'failed'] },
    'Synchronisations that this host ran with a peer.'
  ),
  warren_registry_sync_sessions: gauge({}, 'Synchronisations that are running.'),
  warren_registry_acks_waiting: gauge({}, 'Acknowledgements of changes of other hosts that wait to be sent.'),
  warren_registry_alarms_total: counter(
    {
      kind: [
        'equivocation',
        'invalid_set',
        'own_state_ahead',
        'duplicate_identity',
        'registry_full',
        'rate_exceeded',
        'clock_differs',
        'own_clock_wrong'
      ]
    },
    'Events that an operator should look into; equivocation and invalid_set put the host that signed the state in quarantine.'
  ),
  warren_replications_total: counter(
    { wait: ['all', 'quorum', 'local'], state: ['replicated', 'partial'] },
    'Changes of this host whose replication was awaited. partial: a host had not acknowledged by the deadline.'
  ),
  warren_replication_seconds: histogram(
    { wait: ['all', 'quorum'] },
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    'Time from the call until the change was acknowledged.'
  ),

  warren_registrations: gauge({}, 'Registrations of this host.'),
  warren_registrations_total: counter({}, 'Registrations that were made on this host.'),
  warren_registrations_ended_total: counter(
    {
      reason: [
        'deregistered',
        'expired',
        'process_ended',
        'connection_closed',
        'agent_stopped',
        'revoked',
        'no_longer_granted'
      ]
    },
    'Registrations that ended on this host.'
  ),
  warren_declared_items: gauge(
    { kind: ['service', 'forward'], state: ['running', 'waiting'] },
    'Services and forwards that files declare. waiting: `warren status` says why, and the agent tries again.'
  ),
  warren_config_reloads_total: counter(
    { result: ['applied', 'refused'] },
    'Reloads of the configuration. refused: the former one stays in force.'
  ),
  warren_policy_version: gauge({}, 'Version of the policy in force; zero before there is one.'),
  warren_policy_withheld: gauge(
    {},
    'One while this host serves nothing, because no host of an admin has confirmed the policy within --policy-lease; else zero.'
  ),
  warren_policy_decisions_total: counter(
    {
      decision: ['allowed', 'denied'],
      ground: ['REVOKED', 'RULE', 'SCOPE', 'WHITELIST', 'AUDIT', 'DEFAULT', 'LEASE', 'ERROR']
    },
    'Decisions about flows, including those that were repeated after a change.'
  ),
  warren_flows_audited_total: counter(
    {},
    'Flows, and checks before first ones, that an audit rule let pass and that would be refused without it.'
  ),

  warren_flows: gauge(
    { direction: DIRECTION, protocol: PROTOCOL },
    'Flows that exist now, including those that are being opened.'
  ),
  warren_flows_opened_total: counter({ direction: DIRECTION, protocol: PROTOCOL }, 'Flows that were opened.'),
  warren_flows_ended_total: counter(
    {
      direction: DIRECTION,
      reason: [
        'ended',
        'reset',
        'policy',
        'trust',
        'registration',
        'shutdown',
        'link',
        'refused',
        'server',
        'done',
        OTHER
      ]
    },
    'Flows that were open and ended. ended: both sides closed it; done: its datagrams stopped; any other: why it was cut.'
  ),
  warren_flows_failed_total: counter(
    { direction: DIRECTION, code: CODES },
    'Flows, and checks before a first one, that were not opened, by the error that the source receives.'
  ),
  warren_flows_waiting: gauge({}, 'Flows that have lost what carried them, and wait for another path.'),
  warren_flow_interruptions_total: counter({ result: ['resumed', 'given_up', 'ended'] }, 'Flows that lost their path.'),
  warren_flow_bytes_total: counter(
    { protocol: PROTOCOL, direction: BYTE_DIRECTION },
    'Bytes carried: out from sources to destinations, in from destinations to sources.'
  ),
  warren_flow_waiting_bytes: gauge({}, 'Bytes of streams that wait in the agent for readers that are slow.'),
  warren_datagrams_total: counter(
    { direction: BYTE_DIRECTION },
    'Datagrams carried: out from sources to destinations, in from destinations to sources.'
  ),
  warren_datagrams_dropped_total: counter(
    { reason: ['full', 'gone', 'too_large', 'oversize', 'rate'] },
    'Datagrams dropped here. full: the receiver does not read them; gone: the receiver has ended; oversize: larger than a packet of the path.'
  ),
  warren_datagram_copies_total: counter(
    { result: ['sent', 'removed'] },
    'Packets of datagrams for registrations with --multipath. sent: on a second path as well; removed: they had come before.'
  ),
  warren_sessions: gauge({ role: ['client', 'server'] }, 'Sessions with other agents. client: this agent opened it.'),
  warren_session_proofs_total: counter(
    { role: ['client', 'server'], result: ['ok', 'failed'] },
    'Exchanges in which the ends of a session proved renewed certificates. client: this agent opened the session.'
  ),
  warren_sessions_unproved: gauge(
    { role: ['client', 'server'] },
    'Sessions with flows whose ends should have proved renewed certificates, and did not: their flows are cut when the proved certificates expire.'
  ),
  warren_fastpath_connections_total: counter(
    { role: ['client', 'server'], result: ['ok', 'failed'] },
    'Fast-path connections: connections beside sessions, for flows of TCP. client: this agent connected it.'
  ),
  warren_first_bytes_total: counter(
    { result: ['granted', 'refused'] },
    'Bytes that arrived here with the request for their flow. refused: no workload has got them.'
  ),
  warren_reverse_connections_total: counter(
    { role: ['requester', 'dialler'], result: ['ok', 'failed', 'unknown'] },
    'Connections that a host makes because another one, which cannot dial it or relays, asks for them. dialler: this agent made it; unknown: one arrived here that nobody waits for.'
  ),
  warren_punched_connections_total: counter(
    { role: ['requester', 'invited', 'rendezvous'], result: ['ok', 'failed'] },
    'Connections between two hosts behind NATs that a third member arranges. requester, invited: this agent makes it with another one; rendezvous: it arranges one, counted for each of the two.'
  ),
  warren_handshakes_total: counter(
    { role: ['client', 'server'], result: ['ok', 'failed', 'refused'] },
    'Sessions that were being opened. refused: no certificate, or one that is not valid.'
  ),
  warren_endpoints: gauge({}, 'Local sockets that sources connect to.'),

  warren_local_connections: gauge({ socket: ['agent', 'admin', 'spiffe'] }, 'Connections to the sockets of the agent.'),
  warren_api_calls_total: counter(
    { service: ['workload', 'admin', 'spiffe'], code: ['ok', ...CODES, OTHER] },
    'Calls of the local API by outcome; a stream is counted when it ends. ok: also a call that its caller cancelled.'
  ),

  warren_certificate_expiry_seconds: gauge(
    { certificate: ['root', 'authority', 'node', 'svid'] },
    'Time until the first certificate in use of this kind expires; zero: none of this kind is held; negative: it has expired.'
  ),
  warren_renewals_total: counter(
    { certificate: ['authority', 'node'], result: ['ok', 'failed'] },
    'Attempts of this host to renew a certificate that it uses.'
  ),
  warren_renewals_served_total: counter(
    { result: ['granted', 'refused'] },
    'Renewals that other hosts requested from the authority on this host.'
  ),
  warren_audit_records_total: counter({}, 'Lines that were written to the audit log.'),
  warren_audit_lost_total: counter(
    { reason: ['queue', 'disk', 'source'] },
    'Records that the audit log does not have. queue: they came too fast; disk: it could not be written; source: too many refusals of one source.'
  ),
  warren_audit_write_failures_total: counter({}, 'Attempts to write to the audit log that failed.'),
  warren_audit_waiting: gauge({}, 'Records that wait to be written to the audit log.'),
  warren_spans_total: counter(
    { result: ['sent', 'lost'] },
    'Spans of traces. lost: the collector of --otlp was away, too slow, or refused them.'
  ),
  warren_audit_push_behind: gauge(
    { target: PUSH_TARGET },
    'Lines of the audit log that a receiver has not got yet. target: its place among the values of --audit-push.'
  ),
  warren_audit_pushed_total: counter({ target: PUSH_TARGET }, 'Lines of the audit log that a receiver has got.'),
  warren_audit_push_failures_total: counter({ target: PUSH_TARGET }, 'Attempts to push the audit log that failed.'),
  warren_audit_push_skipped_total: counter(
    { target: PUSH_TARGET },
    'Lines of the audit log that were removed, because of its size, before a receiver got them; or that it refused.'
  ),

  warren_log_lines_dropped_total: counter(
    {},
    'Lines for standard error that were dropped because their reader stood still.'
  ),
  ...PROCESS_METRICS
} satisfies Record<string, MetricDefinition>)
