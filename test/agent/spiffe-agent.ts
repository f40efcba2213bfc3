import { createPublicKey } from 'node:crypto'
import type test from 'node:test'
import { type Caller, spiffeSocketHandlers } from '../../src/api/index.ts'
import { Shares } from '../../src/api/share.ts'
import { HOST_VIEW } from '../../src/attest/index.ts'
import { announcedKey } from '../../src/ca/membership/index.ts'
import { Svids } from '../../src/ca/svids.ts'
import { silentLogger, silentMetrics, systemClock } from '../../src/core/index.ts'
import { addressOfSpiffeId, generateSigningKeyPair, issueWorkload, toPem } from '../../src/identity/index.ts'
import { create, spiffePb } from '../../src/wire/index.ts'
import type { Workload } from '../../src/workloads/index.ts'
import { Domain, NOW_MS, TRUST_DOMAIN } from '../identity/domain.ts'

export const domain = await Domain.create()
const host = await domain.host('a')
export const JWT_LIFETIME_MS = 300_000
export const ID = `spiffe://${TRUST_DOMAIN}/dev/web/nginx/default/a`
export function workload(spiffeId: string, uid: number, pid: number, forUser: boolean): Workload {
  return {
    address: addressOfSpiffeId(TRUST_DOMAIN, spiffeId),
    forUser,
    registrationId: `${spiffeId} ${uid} ${pid}`,
    spiffeId,
    uid,
    view: HOST_VIEW,
    process: { pid }
  } as unknown as Workload
}

const shares = new Shares({ bytesPerSecond: 1e9, waitingBytes: 1e9 }, systemClock, silentMetrics)

export function caller(uid: number, pid: number, view = HOST_VIEW): Caller {
  const connection = new AbortController().signal
  return { uid, pid, view, connection, share: shares.of({ uid, view }) } as unknown as Caller
}

/** The handlers of spiffe.sock, with registrations and times that a test sets. */
export class Agent {
  wallMs = NOW_MS
  registrations: Workload[] = []
  readonly jwtKey = generateSigningKeyPair()
  #changed = Promise.withResolvers<void>()
  readonly svids = new Svids(
    async spiffeId => {
      const key = generateSigningKeyPair()
      const nowMs = this.wallMs
      const leaf = await issueWorkload({ node: host.issuer, spiffeId, publicKey: createPublicKey(key), nowMs })
      const chainDer = [leaf, ...host.chain.slice(0, 2)]
      const certPem = chainDer.map(toPem).join('')
      return { chainDer, certPem, key, notBeforeMs: nowMs, notAfterMs: nowMs + 3_600_000 }
    },
    { wallMs: () => this.wallMs, monotonicMs: () => this.wallMs }
  )
  isServing = true
  readonly warnings: string[] = []
  readonly socket = spiffeSocketHandlers({
    trustDomain: TRUST_DOMAIN,
    registrations: () => this.registrations,
    svids: this.svids,
    roots: () => [domain.root],
    tokens: { signing: this.jwtKey, tokenMs: JWT_LIFETIME_MS },
    hostMs: () => this.wallMs,
    jwtHosts: () => [{ machine: 'a', scopes: [], jwtKeys: [announcedKey(this.jwtKey)] }],
    changed: () => this.#changed.promise,
    nowMs: () => this.wallMs,
    isServing: () => this.isServing,
    log: { ...silentLogger, warn: (message, { reason } = {}) => this.warnings.push(`${message}: ${reason}`) }
  })
  readonly handlers = this.socket.workloadApi

  register(spiffeId: string, uid: number, pid: number, forUser = true): void {
    const one = workload(spiffeId, uid, pid, forUser)
    this.registrations.push(one)
    this.svids.add(one.registrationId, spiffeId)
  }

  change(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  watch(who: Caller, t: test.TestContext) {
    const ending = new AbortController()
    t.after(() => ending.abort())
    const request = create(spiffePb.X509SVIDRequestSchema)
    return this.handlers.fetchX509SVID(request, who, ending.signal)[Symbol.asyncIterator]()
  }
}
