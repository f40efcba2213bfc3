import type { PeerKey } from '../peer-key.ts'

/** How a host proves its right to join. */
export type JoinMethod = 'token' | 'certificate' | 'oidc'

/** The rights that a proof gives to its holder, at this authority. */
export interface Grant {
  readonly method: JoinMethod
  /** Id of the token, or of the trusted CA or issuer. */
  readonly via: string
  /** The proof itself, as the ledger has it: uses are counted for each. */
  readonly source: string
  /** A machine name, or a pattern of names. */
  readonly names: string
  readonly scopes: readonly string[]
  readonly ephemeral: boolean
  readonly needsApproval: boolean
  /** Networks that the host may come from; empty: any. */
  readonly from: readonly string[]
  /** Hosts that the proof admits; undefined: any number. */
  readonly uses: number | undefined
  /** A proof that is older than an eviction of the machine does not admit it. */
  readonly createdAtMs: number
  readonly expiresAtMs: number
  readonly revokedAtMs: number | undefined
}

/** A token as its authority stores it: without the secret. */
export interface StoredToken {
  /** Hex. */
  readonly id: string
  /** Hex. */
  readonly secretSha256: string
  /** A machine name, or a pattern of names. */
  readonly machine: string
  readonly scopes: readonly string[]
  readonly createdAtMs: number
  readonly expiresAtMs: number
  readonly revokedAtMs: number | undefined
  /** @default 1 */
  readonly uses?: number
  readonly ephemeral?: boolean
  readonly needsApproval?: boolean
  readonly from?: readonly string[]
}

/** One admission, as the ledger has it. */
export interface JoinUse {
  readonly source: string
  readonly method: JoinMethod
  /** The keys of the host: see `keysOf`. */
  readonly keys: string
  readonly machine: string
  readonly peer: PeerKey
  readonly remote: string
  readonly usedAtMs: number
  readonly ephemeral: boolean
  /** Time when an ephemeral host was seen to leave. */
  readonly leftAtMs: number | undefined
}

/** A host that is held outside until an admin admits it. */
export interface WaitingHost extends Pick<JoinUse, 'source' | 'method' | 'keys' | 'machine' | 'peer' | 'remote'> {
  readonly via: string
  readonly askedAtMs: number
  readonly seenAtMs: number
  readonly state: 'waiting' | 'admitted' | 'refused'
}

/** The memory of an authority about joins. Every method is durable when it returns. */
export interface JoinLedger {
  readonly find: (tokenId: string) => StoredToken | undefined
  readonly usesOf: (source: string) => readonly JoinUse[]
  /** The last admission under a name. */
  readonly lastOf: (machine: string) => JoinUse | undefined
  /** Notes an admission; false if the proof has no use left or its token was revoked. Atomic. */
  readonly spend: (use: JoinUse, uses: number | undefined) => boolean
  readonly waitingFor: (source: string, keys: string) => WaitingHost | undefined
  readonly waitingAs: (machine: string) => WaitingHost | undefined
  /** Notes that a host waits. Throws LIMIT_EXCEEDED. */
  readonly wait: (host: WaitingHost, most: number | undefined) => void
}

/** The grant of a token. */
export function grantOf(token: StoredToken): Grant {
  const { id, machine, uses = 1, ephemeral = false, needsApproval = false, from = [], ...rest } = token
  return { ...rest, method: 'token', via: id, source: id, names: machine, uses, ephemeral, needsApproval, from }
}

/** The keys of a host, as the ledger notes them. */
export function keysOf({ peer, nodeKeySha256 }: { peer: PeerKey; nodeKeySha256: Uint8Array }): string {
  return `${peer} ${Buffer.from(nodeKeySha256).toString('hex')}`
}
