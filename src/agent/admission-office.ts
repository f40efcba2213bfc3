import { createHash, createPublicKey, randomBytes } from 'node:crypto'
import { type Clock, ErrorCode, type Logger, WarrenError } from '../core/index.ts'
import {
  admitJoin,
  encodeJoinToken,
  generateSigningKeyPair,
  isComponent,
  issueAgent,
  type JoinAuthority,
  RESERVED_SCOPE,
  toPem
} from '../identity/index.ts'
import type { Membership } from './membership/index.ts'
import type { Store } from './state/store.ts'
import type { Svid } from './svids.ts'

export interface AdmissionOfficeDeps {
  readonly membership: Membership
  readonly store: Store
  /** host:port of the data listener, as others reach it. */
  readonly dataAddresses: () => readonly string[]
  readonly meshAddresses: () => readonly string[]
  /** Whether a host of this name is a member now. */
  readonly isTaken: (machine: string) => boolean
  readonly clock: Clock
  readonly log: Logger
}

const DEFAULT_TTL_MS = 3_600_000
const MAX_TTL_MS = 7 * 24 * 3_600_000
const MAX_SCOPES = 64
// Ended tokens stay known for a while, so that a late joiner hears "expired" and not "unknown".
const FORGET_AFTER_MS = 7 * 24 * 3_600_000

/** Admits hosts: makes join tokens, serves joins, and holds the certificate that this agent shows to joiners. */
export class AdmissionOffice {
  readonly #deps: AdmissionOfficeDeps
  #agent: { svid: Svid; leaf: Uint8Array } | undefined

  constructor(deps: AdmissionOfficeDeps) {
    this.#deps = deps
  }

  /** Makes the certificate of the agent itself, or a new one from half of its life on. To be called now and then. */
  async renew(): Promise<void> {
    const { membership, clock } = this.#deps
    const now = clock.wallMs()
    const current = this.#agent?.svid
    if (current !== undefined && now < (current.notBeforeMs + current.notAfterMs) / 2) return
    const key = generateSigningKeyPair()
    const { trustDomain, machine, node, nodeKey } = membership
    const [certificate, authority] = node.chainDer
    if (certificate === undefined || authority === undefined) throw new WarrenError(ErrorCode.Internal, 'no node chain')
    const leaf = await issueAgent({
      node: { certificate, key: nodeKey },
      trustDomain,
      machine,
      publicKey: createPublicKey(key),
      nowMs: now
    })
    const chainDer = [leaf, certificate, authority]
    const certPem = chainDer.map(toPem).join('')
    this.#agent = { leaf, svid: { chainDer, certPem, key, notBeforeMs: now, notAfterMs: now + 24 * 3_600_000 } }
  }

  /** What is shown to joiners. */
  credentials(): Svid {
    return this.#current().svid
  }

  /**
   * A token that admits one host of this name, once. Throws NOT_AUTHORITY, ALREADY_EXISTS (the name is a member's) or
   * INVALID_ARGUMENT.
   */
  createToken(request: { readonly machine: string; readonly ttlMs: number; readonly scopes: readonly string[] }): {
    token: string
    expiresAtMs: number
  } {
    const { membership, store, dataAddresses, isTaken, clock, log } = this.#deps
    const { machine, scopes } = request
    if (membership.authority === undefined) throw notAuthority()
    if (isTaken(machine) || machine === membership.machine) {
      throw new WarrenError(ErrorCode.AlreadyExists, `a host named ${machine} is a member already`, {
        hint: '`warren members` lists the names in use.'
      })
    }
    if (scopes.length > MAX_SCOPES || !scopes.every(isComponent) || scopes.includes(RESERVED_SCOPE)) {
      throw new WarrenError(ErrorCode.InvalidArgument, 'a scope is one component of an address, and not "warren"')
    }
    if (request.ttlMs > MAX_TTL_MS) {
      throw new WarrenError(ErrorCode.InvalidArgument, 'a join token lives for seven days at most')
    }
    const now = clock.wallMs()
    store.forgetTokens(now - FORGET_AFTER_MS)
    const expiresAtMs = now + (request.ttlMs === 0 ? DEFAULT_TTL_MS : request.ttlMs)
    const secret = randomBytes(32)
    const id = randomBytes(16).toString('hex')
    const secretSha256 = createHash('sha256').update(secret).digest('hex')
    store.addToken({ id, secretSha256, machine, scopes, expiresAtMs, usedAtMs: undefined })
    log.info('join token created', { machine, notAfter: new Date(expiresAtMs).toISOString() })
    const token = encodeJoinToken({
      trustDomain: membership.trustDomain,
      rootSha256: membership.trust.roots[0]?.sha256 ?? '',
      authorityAddresses: dataAddresses().slice(0, 16),
      authorityMachine: membership.machine,
      machine,
      id,
      secret,
      expiresAtMs,
      scopes
    })
    return { token, expiresAtMs }
  }

  /** How joins are served here. */
  asAuthority(): JoinAuthority {
    const { membership, store, meshAddresses, clock, log } = this.#deps
    const { trustDomain, node, trustBundle, authority } = membership
    return {
      trustDomain,
      log,
      agentChain: () => [this.#current().leaf, ...node.chainDer],
      admit: async request => {
        if (authority === undefined) throw notAuthority()
        const nowMs = () => clock.wallMs()
        const certificate = await admitJoin(request, { trustDomain, tokens: store, authority, nowMs })
        return {
          nodeChain: [certificate, ...node.chainDer.slice(1)],
          trustBundle,
          meshAddresses: meshAddresses()
        }
      }
    }
  }

  #current(): { svid: Svid; leaf: Uint8Array } {
    if (this.#agent === undefined) throw new WarrenError(ErrorCode.NotReady, 'the agent has no certificate yet')
    return this.#agent
  }
}

function notAuthority(): WarrenError {
  return new WarrenError(ErrorCode.NotAuthority, 'this host cannot admit others', {
    hint: 'Run the command on the host that founded the trust domain.'
  })
}
