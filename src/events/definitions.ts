import type { ErrorCode } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'

/** One end of a flow or a registration, as an event names it. */
export type SpiffeId = string

/** Which workload, and which registration of it. */
export interface RegistrationFields {
  readonly spiffeId: SpiffeId
  /** 64 hex characters. */
  readonly registrationId: string
  readonly uid: number
}

/** What is known of a flow when it begins; `destination` is empty while none is chosen. */
export interface FlowFields {
  readonly flowId: string
  readonly direction: 'inbound' | 'outbound' | 'local'
  readonly source: string
  readonly destination: string
  readonly protocol: 'tcp' | 'udp'
  readonly carrier: string
}

/** What each event tells. Values are plain, so that an event can be written, sent and kept as it is. */
export interface EventFields {
  /** What is allowed has changed: by a new version, or because a rule began or ended by its dates. */
  'policy-changed': { readonly version: bigint; readonly reason: string }
  /** The admin of this host has changed the policy. `change` names the command, `subject` what it is about. */
  'rule-changed': { readonly change: RuleChange; readonly subject: string; readonly uid: number }
  /** What is trusted has changed. Nothing counts any more of the hosts in `gone`. */
  'trust-changed': { readonly version: bigint; readonly reason: string; readonly gone: readonly PeerKey[] }
  /** Records, head or standing of one host changed here. */
  'registry-changed': {
    readonly peer: PeerKey
    readonly machine: string
    readonly cause: string
    readonly added: number
    readonly removed: number
  }
  'registration-added': RegistrationFields & { readonly pid: number }
  /** `code` is what a user of the registration is answered from now on. */
  'registration-ended': RegistrationFields & { readonly reason: RegistrationEnd; readonly code: ErrorCode }
  'health-changed': RegistrationFields & { readonly health: 'passing' | 'failing' }
  /** A certificate that this host signs with is another one. */
  'certificate-renewed': { readonly machine: string; readonly notAfterMs: number }
  /** What this host says of itself has changed, and is to be announced. */
  'profile-changed': Record<never, never>
  'host-connected': { readonly peer: PeerKey; readonly machine: string }
  'host-disconnected': { readonly peer: PeerKey; readonly machine: string }
  /** A host does not answer: its services are skipped until it does. */
  'host-suspected': { readonly peer: PeerKey; readonly machine: string; readonly reason: string }
  'host-answers': { readonly peer: PeerKey; readonly machine: string }
  /** The lease of a host has ended, or it has left. */
  'host-lost': { readonly peer: PeerKey; readonly machine: string; readonly cause: string }
  /** Another host refuses this one. */
  'refused-by-host': { readonly machine: string; readonly reason: string }
  /** A host showed a certificate below a root that is not known here. */
  'unknown-root-shown': Record<never, never>
  /** This host is trusted no more, by the admin's signature. */
  evicted: { readonly reason: string }
  'eviction-undone': Record<never, never>
  'token-created': { readonly tokenId: string; readonly machine: string; readonly notAfterMs: number }
  'token-revoked': { readonly tokenId: string; readonly machine: string }
  'host-admitted': { readonly machine: string; readonly remote: string }
  'join-refused': { readonly remote: string; readonly reason: string }
  'flow-opened': FlowFields
  /** Ended before its two ends were joined. */
  'flow-refused': FlowFields & { readonly code: ErrorCode; readonly reason: string }
  'flow-ended': FlowFields & {
    readonly reason: string
    readonly kind: string
    readonly bytesIn: number
    readonly bytesOut: number
    readonly durationMs: number
  }
}

/** Why a registration ended; decides what its token is answered with afterwards. */
export type RegistrationEnd =
  | 'deregistered'
  | 'expired'
  | 'process ended'
  | 'connection closed'
  | 'agent stopped'
  | 'revoked'
  | 'no longer granted'

export type RuleChange =
  | 'allow'
  | 'deny'
  | 'remove-rule'
  | 'add-entry'
  | 'remove-entry'
  | 'strict'
  | 'restart'
  | 'revoke'
  | 'unrevoke'

export type EventName = keyof EventFields

/** Who may be shown an event, besides the admin of the host. */
export type Audience =
  /** The user whose registration it is about, and whoever may observe the host. */
  | 'owner'
  /** Whoever may observe the host. */
  | 'observer'
  /** Nobody else. */
  | 'admin'

/** For how long an event is worth keeping. */
export type Retention =
  /** For whoever listens at that moment. */
  | 'none'
  /** A day, in memory: what happened lately. */
  | 'day'
  /** For good, on disk: who changed what, and who was let in. */
  | 'audit'

export interface EventDefinition {
  readonly audience: Audience
  readonly retention: Retention
}

/** Every event, with who may see it and how long it is kept. One row for each name in `EventFields`. */
export const EVENTS: { readonly [N in EventName]: EventDefinition } = Object.freeze({
  'policy-changed': { audience: 'observer', retention: 'audit' },
  'rule-changed': { audience: 'admin', retention: 'audit' },
  'trust-changed': { audience: 'observer', retention: 'audit' },
  'registry-changed': { audience: 'observer', retention: 'none' },
  'registration-added': { audience: 'owner', retention: 'audit' },
  'registration-ended': { audience: 'owner', retention: 'audit' },
  'health-changed': { audience: 'owner', retention: 'day' },
  'certificate-renewed': { audience: 'observer', retention: 'day' },
  'profile-changed': { audience: 'observer', retention: 'none' },
  'host-connected': { audience: 'observer', retention: 'day' },
  'host-disconnected': { audience: 'observer', retention: 'day' },
  'host-suspected': { audience: 'observer', retention: 'day' },
  'host-answers': { audience: 'observer', retention: 'day' },
  'host-lost': { audience: 'observer', retention: 'day' },
  'refused-by-host': { audience: 'observer', retention: 'day' },
  'unknown-root-shown': { audience: 'observer', retention: 'day' },
  evicted: { audience: 'observer', retention: 'audit' },
  'eviction-undone': { audience: 'observer', retention: 'audit' },
  'token-created': { audience: 'admin', retention: 'audit' },
  'token-revoked': { audience: 'admin', retention: 'audit' },
  'host-admitted': { audience: 'admin', retention: 'audit' },
  'join-refused': { audience: 'admin', retention: 'audit' },
  'flow-opened': { audience: 'owner', retention: 'none' },
  'flow-refused': { audience: 'owner', retention: 'audit' },
  'flow-ended': { audience: 'owner', retention: 'day' }
})
