import type { ErrorCode, Protocol } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'

/** Name of one end of a flow or of a registration in events. */
export type SpiffeId = string

/** A workload and one registration of it. */
export interface RegistrationFields {
  readonly spiffeId: SpiffeId
  /** 64 hex characters. */
  readonly registrationId: string
  readonly uid: number
}

/** The process of this host for which a workload is registered, by the kernel. */
export interface ProcessFields {
  readonly uid: number
  readonly pid: number
  /** As of its registration. Undefined where the kernel does not say it to the agent. */
  readonly executable?: string | undefined
}

/**
 * Fields of a flow; `destination` is empty until one is chosen, and `rule` until the policy is asked. Each agent knows the
 * processes of its own host only.
 */
export interface FlowFields {
  readonly flowId: string
  readonly direction: 'inbound' | 'outbound' | 'local'
  readonly source: string
  readonly destination: string
  readonly protocol: Protocol
  readonly carrier: string
  readonly rule: string
  readonly sourceProcess?: ProcessFields | undefined
  readonly destinationProcess?: ProcessFields | undefined
}

/** A join token, and the user who changed it. */
export interface TokenFields {
  readonly tokenId: string
  readonly machine: string
  readonly uid?: number | undefined
}

/** A host that asks to join. */
export interface HostAdmission {
  readonly machine: string
  readonly remote: string
  readonly method: string
  readonly via: string
}

/** The fields of each event. Values are plain, so that an event can be written, sent and stored unchanged. */
export interface EventFields {
  /** The allowed flows have changed: by a new version, or because a rule began or ended by its dates. */
  'policy-changed': { readonly version: bigint; readonly reason: string }
  /** The admin of this host has changed the policy or the trust domain. `change` names the command, `subject` its object. */
  'rule-changed': { readonly change: RuleChange; readonly subject: string; readonly uid: number }
  /** A version that the admin signed is not taken here: it breaks one of its own invariants. */
  'policy-refused': { readonly version: bigint; readonly reason: string }
  /** No host of an admin has confirmed the policy for `boundMs`: this host serves nothing. */
  'policy-unheard': { readonly boundMs: number }
  /** A host of `admin` confirms the policy again: this host serves. */
  'policy-heard': { readonly admin: string }
  /** The trusted certificates have changed. No certificate of the hosts in `gone` is valid any more. */
  'trust-changed': { readonly version: bigint; readonly reason: string; readonly gone: readonly PeerKey[] }
  /** Another host, or an admin of this one, asked what this host sees; `question` names the command. */
  'question-asked': { readonly peer: PeerKey; readonly machine: string; readonly question: string }
  /** Records, head or state of one host changed here. */
  'registry-changed': {
    readonly peer: PeerKey
    readonly machine: string
    readonly cause: string
    readonly added: number
    readonly removed: number
  }
  'registration-added': RegistrationFields & Pick<ProcessFields, 'pid' | 'executable'>
  /** `code` is the error for users of the registration from now on. */
  'registration-ended': RegistrationFields & { readonly reason: RegistrationEnd; readonly code: ErrorCode }
  'health-changed': RegistrationFields & { readonly health: 'passing' | 'failing' }
  /** This host signs with a new certificate. */
  'certificate-renewed': { readonly machine: string; readonly notAfterMs: number }
  /** The announcement of this host has changed and must be sent. */
  'profile-changed': Record<never, never>
  /** The interfaces of this machine have other addresses than before. */
  'addresses-changed': { readonly added: readonly string[]; readonly gone: readonly string[] }
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
  /** This host is no longer trusted, by the admin's signature. */
  evicted: { readonly reason: string }
  'eviction-undone': Record<never, never>
  /** `uid` is the user who did it; undefined if the agent did. */
  'token-created': TokenFields & { readonly notAfterMs: number }
  'token-revoked': TokenFields
  /** `via` is the id of the token, or of the trusted CA or issuer. */
  'host-admitted': HostAdmission
  /** It is held outside until an admin admits it. */
  'host-waits': HostAdmission
  'join-refused': { readonly remote: string; readonly reason: string; readonly method: string }
  'flow-opened': FlowFields
  /** The flow ended before its two ends were joined. */
  'flow-refused': FlowFields & { readonly code: ErrorCode; readonly reason: string }
  /** An audit rule lets a flow pass that would be refused without it, for `reason`. */
  'flow-audited': FlowFields & { readonly rule: string; readonly reason: string }
  /** What carried a flow is lost: it waits for another path, for `windowMs` at most. */
  'flow-waits': FlowFields & { readonly windowMs: number }
  /** A flow that waited continues. */
  'flow-resumed': FlowFields
  'flow-ended': FlowFields & {
    readonly reason: string
    readonly kind: string
    readonly bytesIn: number
    readonly bytesOut: number
    readonly durationMs: number
  }
}

/** Reason why a registration ended; selects the error for later uses of its token. */
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
  | 'audit'
  | 'apply'
  | 'restart'
  | 'accept-clock'
  | 'revoke'
  | 'unrevoke'
  | 'admit'
  | 'refuse-host'
  | 'add-authority'
  | 'remove-authority'
  | 'rotate-root'
  | 'add-admin'
  | 'remove-admin'
  | 'make-admin-key'
  | 'add-join-trust'
  | 'remove-join-trust'

export type EventName = keyof EventFields

/** Users that may see an event, besides the admin of the host. */
export type Audience =
  /** The user of the registration, and users that may observe the host. */
  | 'owner'
  /** Users that may observe the host. */
  | 'observer'
  /** No other user. */
  | 'admin'

/** How long an event is kept. */
export type Retention =
  /** It is not kept: only current subscribers receive it. */
  | 'none'
  /** A day, in memory: recent events. */
  | 'day'

export interface EventDefinition {
  readonly audience: Audience
  readonly retention: Retention
  /** Whether it is a record of the audit log as well, with all its fields. */
  readonly isAudited: boolean
}

/** Every event, with its audience, its retention, and whether it is audited. One row for each name in `EventFields`. */
export const EVENTS: { readonly [N in EventName]: EventDefinition } = Object.freeze({
  'policy-changed': { audience: 'observer', retention: 'day', isAudited: true },
  'rule-changed': { audience: 'admin', retention: 'day', isAudited: true },
  'policy-refused': { audience: 'observer', retention: 'day', isAudited: true },
  'policy-unheard': { audience: 'observer', retention: 'day', isAudited: true },
  'policy-heard': { audience: 'observer', retention: 'day', isAudited: true },
  'trust-changed': { audience: 'observer', retention: 'day', isAudited: true },
  'question-asked': { audience: 'admin', retention: 'day', isAudited: true },
  'registry-changed': { audience: 'observer', retention: 'none', isAudited: false },
  'registration-added': { audience: 'owner', retention: 'day', isAudited: true },
  'registration-ended': { audience: 'owner', retention: 'day', isAudited: true },
  'health-changed': { audience: 'owner', retention: 'day', isAudited: false },
  'certificate-renewed': { audience: 'observer', retention: 'day', isAudited: false },
  'profile-changed': { audience: 'observer', retention: 'none', isAudited: false },
  'addresses-changed': { audience: 'observer', retention: 'day', isAudited: false },
  'host-connected': { audience: 'observer', retention: 'day', isAudited: false },
  'host-disconnected': { audience: 'observer', retention: 'day', isAudited: false },
  'host-suspected': { audience: 'observer', retention: 'day', isAudited: false },
  'host-answers': { audience: 'observer', retention: 'day', isAudited: false },
  'host-lost': { audience: 'observer', retention: 'day', isAudited: false },
  'refused-by-host': { audience: 'observer', retention: 'day', isAudited: false },
  'unknown-root-shown': { audience: 'observer', retention: 'day', isAudited: false },
  evicted: { audience: 'observer', retention: 'day', isAudited: true },
  'eviction-undone': { audience: 'observer', retention: 'day', isAudited: true },
  'token-created': { audience: 'admin', retention: 'day', isAudited: true },
  'token-revoked': { audience: 'admin', retention: 'day', isAudited: true },
  'host-admitted': { audience: 'admin', retention: 'day', isAudited: true },
  'host-waits': { audience: 'admin', retention: 'day', isAudited: true },
  'join-refused': { audience: 'admin', retention: 'day', isAudited: true },
  'flow-opened': { audience: 'owner', retention: 'none', isAudited: true },
  'flow-refused': { audience: 'owner', retention: 'day', isAudited: true },
  'flow-audited': { audience: 'owner', retention: 'day', isAudited: true },
  'flow-waits': { audience: 'owner', retention: 'day', isAudited: true },
  'flow-resumed': { audience: 'owner', retention: 'day', isAudited: true },
  'flow-ended': { audience: 'owner', retention: 'day', isAudited: true }
})
