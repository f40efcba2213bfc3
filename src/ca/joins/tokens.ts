import { createHash, randomBytes } from 'node:crypto'
import { type Clock, ErrorCode, type Logger, parseNetworks, WarrenError } from '../../core/index.ts'
import type { EventSink } from '../../events/index.ts'
import {
  encodeJoinToken,
  isComponent,
  isOpen,
  type JoinUse,
  type PeerKey,
  parseJoinToken,
  parseMachinePattern,
  RESERVED_SCOPE,
  rootOfAuthority,
  type StoredToken
} from '../../identity/index.ts'
import type { JoinStore } from '../../state/index.ts'
import type { Membership } from '../membership/index.ts'
import { notAuthority } from './not-authority.ts'

export interface JoinTokensDeps {
  readonly membership: Membership
  readonly ledger: JoinStore
  /** host:port of the data listener, as others reach it. */
  readonly dataAddresses: () => readonly string[]
  /** The member of this name, if there is one now. */
  readonly peerOf: (machine: string) => PeerKey | undefined
  readonly clock: Clock
  readonly log: Logger
  /** @default no notification */
  readonly events?: EventSink
}

export interface TokenRequest {
  /** A name, or a pattern of names. */
  readonly machine: string
  /** Zero: an hour. */
  readonly ttlMs: number
  readonly scopes: readonly string[]
  /** @default 1 */
  readonly uses?: number
  readonly ephemeral?: boolean
  readonly from?: readonly string[]
  readonly needsApproval?: boolean
  /** The user who asks for it. */
  readonly uid?: number
}

/** A token with what is spent of it. */
export interface ListedToken extends StoredToken {
  readonly uses: number
  readonly used: number
  readonly lastUsedMs: number | undefined
  /** Hosts that wait with it. */
  readonly waiting: number
}

const DEFAULT_TTL_MS = 3_600_000
const MAX_TTL_MS = 7 * 24 * 3_600_000
const MAX_SCOPES = 64
// Expired tokens are kept for a while, so that a late joiner receives "expired" and not "unknown".
const FORGET_AFTER_MS = 7 * 24 * 3_600_000
/** The most tokens that one authority keeps. */
export const MAX_TOKENS = 10_000
/** The most hosts that one token admits. */
export const MAX_USES = 10_000

/** The join tokens of an authority. */
export class JoinTokens {
  readonly #deps: JoinTokensDeps

  constructor(deps: JoinTokensDeps) {
    this.#deps = deps
  }

  /**
   * A token that admits hosts of this name or pattern. Throws NOT_AUTHORITY, ALREADY_EXISTS (a member has the name) or
   * INVALID_ARGUMENT; LIMIT_EXCEEDED when there are too many tokens already.
   */
  create(request: TokenRequest): { token: string; id: string; expiresAtMs: number } {
    const { membership, ledger, peerOf, clock, log } = this.#deps
    const { scopes, uses = 1, ephemeral = false, from = [], needsApproval = false } = request
    const machine = parseMachinePattern(request.machine, 'the name')
    if (!isOpen(machine)) requireOneName(machine, uses)
    requireAuthority(membership)
    if (!isOpen(machine) && (peerOf(machine) !== undefined || machine === membership.machine)) {
      throw new WarrenError(ErrorCode.AlreadyExists, `a host named ${machine} is already a member`, {
        hint: '`warren members` lists the names in use.'
      })
    }
    requireScopes(scopes)
    if (uses < 1 || uses > MAX_USES) {
      throw new WarrenError(ErrorCode.InvalidArgument, `a token has 1 to ${MAX_USES} uses, not ${uses}`, {
        limit: 'token_uses'
      })
    }
    if (request.ttlMs > MAX_TTL_MS) {
      throw new WarrenError(ErrorCode.InvalidArgument, 'a join token is valid for seven days at most')
    }
    parseNetworks(from)
    const now = clock.wallMs()
    ledger.forget(now - FORGET_AFTER_MS, now)
    if (ledger.tokens().length >= MAX_TOKENS) {
      throw new WarrenError(ErrorCode.LimitExceeded, `this host already keeps ${MAX_TOKENS} join tokens`, {
        limit: 'join_tokens',
        hint: 'Tokens are removed a week after they expire; with a shorter --ttl they expire sooner.'
      })
    }
    const expiresAtMs = now + (request.ttlMs === 0 ? DEFAULT_TTL_MS : request.ttlMs)
    const secret = randomBytes(32)
    const id = randomBytes(16).toString('hex')
    const secretSha256 = createHash('sha256').update(secret).digest('hex')
    const token = this.#encode({ machine, id, secret, expiresAtMs, scopes, ephemeral })
    const rest = { machine, scopes, createdAtMs: now, expiresAtMs, revokedAtMs: undefined }
    ledger.addToken({ id, secretSha256, ...rest, uses, ephemeral, from, needsApproval })
    log.info('join token created', { machine, count: uses, via: id, notAfter: new Date(expiresAtMs).toISOString() })
    this.#deps.events?.emit('token-created', { tokenId: id, machine, notAfterMs: expiresAtMs, uid: request.uid })
    return { token, id, expiresAtMs }
  }

  /** The address of this authority for hosts that prove their right by a certificate or an OIDC token. Throws NOT_AUTHORITY. */
  invitation(): string {
    requireAuthority(this.#deps.membership)
    const nothing = { machine: '', id: '', secret: new Uint8Array(), expiresAtMs: 0, scopes: [], ephemeral: false }
    return this.#encode(nothing)
  }

  /** The tokens of this authority, newest first. */
  list(): ListedToken[] {
    const { ledger, clock } = this.#deps
    ledger.forgetWaiting(clock.wallMs())
    const spent = ledger.usedOfTokens()
    const waiting = ledger.waiting().filter(({ state }) => state === 'waiting')
    return ledger.tokens().map(token => ({
      ...token,
      uses: token.uses ?? 1,
      used: spent.get(token.id)?.used ?? 0,
      lastUsedMs: spent.get(token.id)?.lastMs,
      waiting: waiting.filter(({ via }) => via === token.id).length
    }))
  }

  /** The only token whose id begins so, with its uses. Throws NOT_FOUND, or INVALID_ARGUMENT if that is ambiguous. */
  show(idPrefix: string): { readonly token: ListedToken; readonly uses: readonly JoinUse[] } {
    const [token, another] = this.list().filter(({ id }) => idPrefix !== '' && id.startsWith(idPrefix))
    const shown = idPrefix.slice(0, 32)
    if (token === undefined) {
      throw new WarrenError(ErrorCode.NotFound, `this host made no token "${shown}"`, {
        hint: '`warren token list` lists them by id.'
      })
    }
    if (another !== undefined) {
      throw new WarrenError(ErrorCode.InvalidArgument, `several tokens begin with "${shown}"`)
    }
    return { token, uses: this.#deps.ledger.usesOf(token.id) }
  }

  /** Revokes the only token whose id begins so. Throws like `show`, and INVALID_ARGUMENT if no use of it is left. */
  revoke(idPrefix: string, uid?: number): ListedToken {
    const { ledger, clock, log } = this.#deps
    const { token, uses } = this.show(idPrefix)
    if (token.used >= token.uses) {
      const [first] = uses
      const name = first?.machine ?? token.machine
      const what = token.uses === 1 ? `${name} has joined with this token already` : 'every use of this token is spent'
      throw new WarrenError(ErrorCode.InvalidArgument, what, { hint: `\`warren evict ${name}\` removes a host.` })
    }
    if (ledger.revokeToken(token.id, clock.wallMs())) {
      log.info('join token revoked', { machine: token.machine })
      this.#deps.events?.emit('token-revoked', { tokenId: token.id, machine: token.machine, uid })
    }
    return this.show(token.id).token
  }

  /** Revokes all open tokens that name this machine and no other; returns how many. */
  revokeOf(machine: string, uid?: number): number {
    const { ledger, clock, events } = this.#deps
    const named = ledger.tokens().filter(token => token.machine === machine)
    const revoked = named.filter(({ id }) => ledger.revokeToken(id, clock.wallMs()))
    for (const { id } of revoked) events?.emit('token-revoked', { tokenId: id, machine, uid })
    return revoked.length
  }

  #encode(
    own: Pick<
      Parameters<typeof encodeJoinToken>[0],
      'machine' | 'id' | 'secret' | 'expiresAtMs' | 'scopes' | 'ephemeral'
    >
  ): string {
    const { membership, dataAddresses, clock } = this.#deps
    const token = encodeJoinToken({
      ...own,
      trustDomain: membership.trustDomain,
      rootSha256: membership.trust.state.roots.at(-1)?.sha256 ?? '',
      authorityAddresses: [...dataAddresses()],
      authorityMachine: membership.machine
    })
    requireUsable(token, clock.wallMs())
    return token
  }
}

/** Throws INVALID_ARGUMENT unless all of them can be given to a host. */
export function requireScopes(scopes: readonly string[]): void {
  if (scopes.length <= MAX_SCOPES && scopes.every(isComponent) && !scopes.includes(RESERVED_SCOPE)) return
  throw new WarrenError(ErrorCode.InvalidArgument, 'a scope is one component of an address, and not "warren"')
}

/** Throws NOT_AUTHORITY. */
export function requireAuthority({ credentials: { authority }, trust }: Membership): void {
  if (authority === undefined || rootOfAuthority(authority.certificate, trust.state) === undefined) throw notAuthority()
}

function requireOneName(machine: string, uses: number): void {
  if (!isComponent(machine)) {
    throw new WarrenError(ErrorCode.InvalidArgument, `"${machine.slice(0, 80)}" is not a machine name`, {
      hint: 'Use 1 to 63 letters, digits, dashes or underscores, beginning with a letter or digit; no dots.'
    })
  }
  if (uses <= 1) return
  throw new WarrenError(ErrorCode.InvalidArgument, `only one host can be named ${machine}`, {
    hint: `For several hosts give a pattern, as in --name '${machine.slice(0, 40)}-*'.`
  })
}

// Read with the reader's own code: an error here is better than "damaged" on the host that is to join.
function requireUsable(token: string, nowMs: number): void {
  try {
    parseJoinToken(token, nowMs)
  } catch {
    // The cause is left out, because it could quote the secret.
    throw new WarrenError(ErrorCode.InvalidArgument, 'no host could join with such a token', {
      hint: 'This host needs an address under which it can be reached: give one with --advertise.'
    })
  }
}
