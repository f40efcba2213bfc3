import assert from 'node:assert/strict'
import { createHash, createPublicKey, type KeyObject, randomBytes } from 'node:crypto'
import { type Duplex, duplexPair } from 'node:stream'
import { silentLogger } from '../../src/core/index.ts'
import {
  type AdmitDeps,
  admitJoin,
  claimToken,
  generatePeerKeyPair,
  generateSigningKeyPair,
  issueAgent,
  type JoinAuthority,
  type JoinLedger,
  type JoinToken,
  type JoinUse,
  join,
  type StoredToken,
  type WaitingHost
} from '../../src/identity/index.ts'
import type { identityPb } from '../../src/wire/index.ts'
import { Domain, type Host, NOW_MS, TRUST_DOMAIN } from './domain.ts'

export const domain = await Domain.create()
export const founder = await domain.host('founder')
export const forever = new AbortController().signal

export class MemoryTokens implements JoinLedger {
  readonly #tokens = new Map<string, StoredToken>()
  readonly uses: JoinUse[] = []
  readonly waiting: WaitingHost[] = []
  add(token: StoredToken): void {
    this.#tokens.set(token.id, token)
  }
  change(id: string, change: Partial<StoredToken>): void {
    const token = this.#tokens.get(id)
    if (token !== undefined) this.#tokens.set(id, { ...token, ...change })
  }
  find = (id: string): StoredToken | undefined => this.#tokens.get(id)
  usesOf = (source: string): readonly JoinUse[] => this.uses.filter(use => use.source === source)
  lastOf = (machine: string): JoinUse | undefined => this.uses.findLast(use => use.machine === machine)
  spend = (use: JoinUse, uses: number | undefined): boolean => {
    if (uses !== undefined && this.usesOf(use.source).length >= uses) return false
    this.uses.push(use)
    return true
  }
  waitingFor = (source: string, keys: string): WaitingHost | undefined =>
    this.waiting.find(host => host.source === source && host.keys === keys)
  waitingAs = (machine: string): WaitingHost | undefined => this.waiting.find(host => host.machine === machine)
  wait = (host: WaitingHost): void => {
    if (this.waitingFor(host.source, host.keys) === undefined) this.waiting.push(host)
  }
}

/** Admits by the token of a request, as an authority does that knows no other way. */
export async function admitByToken(request: identityPb.JoinRequest, deps: AdmitDeps): Promise<Uint8Array> {
  const admission = await admitJoin(request, claimToken(request, deps.ledger), deps)
  assert.equal(admission.kind, 'admitted')
  return admission.kind === 'admitted' ? admission.certificate : new Uint8Array()
}

const nobody = (): undefined => undefined

async function agentLeaf(host: Host, key: KeyObject): Promise<Uint8Array> {
  const publicKey = createPublicKey(key)
  const options = { node: host.issuer, trustDomain: TRUST_DOMAIN, machine: host.machine, publicKey, nowMs: NOW_MS }
  return await issueAgent(options)
}

/** An authority with its tokens, and what reached it. */
export interface Setup {
  readonly tokens: MemoryTokens
  readonly token: (change?: Partial<JoinToken>) => JoinToken
  readonly authority: JoinAuthority
  /** The certificate of the authority's agent, and its key. */
  readonly leaf: Uint8Array
  readonly leafKey: KeyObject
  readonly requests: identityPb.JoinRequest[]
}

export async function setUp(of = domain, host = founder): Promise<Setup> {
  const tokens = new MemoryTokens()
  const leafKey = generateSigningKeyPair()
  const leaf = await agentLeaf(host, leafKey)
  const requests: identityPb.JoinRequest[] = []
  const authority: JoinAuthority = {
    trustDomain: TRUST_DOMAIN,
    agentChain: () => [leaf, ...host.chain],
    succession: () => [],
    admit: async request => {
      requests.push(request)
      const { authority } = of
      const deps = {
        trustDomain: TRUST_DOMAIN,
        ledger: tokens,
        authority,
        taken: nobody,
        peerOf: nobody,
        revocations: () => [],
        nowMs: () => NOW_MS
      }
      const certificate = await admitByToken(request, deps)
      const nodeChain = [certificate, of.authority.certificate, of.root]
      return { kind: 'accepted', nodeChain, trustBundle: of.bundle, meshAddresses: ['/ip4/192.0.2.1/tcp/7460'] }
    },
    log: silentLogger
  }
  const token = (change: Partial<JoinToken> = {}): JoinToken => {
    const secret = randomBytes(32)
    const id = randomBytes(16).toString('hex')
    const made: JoinToken = {
      trustDomain: TRUST_DOMAIN,
      rootSha256: domain.rootSha256,
      authorityAddresses: ['192.0.2.1:7461'],
      authorityMachine: 'founder',
      machine: 'b',
      id,
      secret,
      expiresAtMs: NOW_MS + 1,
      scopes: [],
      ...change
    }
    const secretSha256 = createHash('sha256').update(secret).digest('hex')
    const { machine, scopes, expiresAtMs } = made
    tokens.add({ id, secretSha256, machine, scopes, createdAtMs: NOW_MS, expiresAtMs, revokedAtMs: undefined })
    return made
  }
  return { tokens, token, authority, leaf, leafKey, requests }
}

/** Joins with `token`; whoever is at its addresses is served by `serve`, and TLS has proved `peerCertificate`. */
export function joinWith(
  token: JoinToken,
  serve: (stream: Duplex, address: string) => void,
  peerCertificate: Uint8Array,
  signal = forever,
  keys = newKeys()
) {
  return join({
    token,
    ...keys,
    connect: async address => {
      const [ours, theirs] = duplexPair()
      serve(theirs, address)
      return { stream: ours, peerCertificate }
    },
    nowMs: () => NOW_MS,
    signal
  })
}

/** The keys of a host that has none yet. */
export function newKeys() {
  return { peerKey: generatePeerKeyPair(), nodeKey: generateSigningKeyPair() }
}

export const code =
  (wanted: string, reason = /./) =>
  (err: Error & { code?: string; reason?: string }) =>
    err.code === wanted && reason.test(err.reason ?? '')
