import type { JsonObject } from '@bufbuild/protobuf'
import {
  type JwtHost,
  keySet,
  renewAt,
  type Svids,
  signJwt,
  signWit,
  validateJwt,
  type Wit,
  witKeySet
} from '../../ca/index.ts'
import { LruMap } from '../../core/index.ts'
import type { Workload } from '../../workloads/index.ts'
import type { SpiffeHandlers } from '../index.ts'
import {
  askedFor,
  digest,
  firstRenewal,
  hintOf,
  type Issued,
  identitiesOf,
  issueAll,
  stateKey
} from './spiffe-identities.ts'
import { type StateTimes, states } from './spiffe-states.ts'

export interface SpiffeDeps extends StateTimes {
  readonly trustDomain: string
  /** Live registrations of this host, oldest first. */
  readonly registrations: () => readonly Workload[]
  /** SVIDs whose keys are given away; never those of the proxy. */
  readonly svids: Pick<Svids, 'get'>
  /** DER. */
  readonly roots: () => readonly Uint8Array[]
  /** The key that signs tokens now, and how long they live. */
  readonly tokens: { readonly signing: Parameters<typeof signJwt>[0]; readonly tokenMs: number }
  /** `iss` of JWT-SVIDs. @default they have none */
  readonly issuer?: string | undefined
  /** The host's own time, for the dates of tokens. */
  readonly hostMs: () => number
  readonly jwtHosts: () => readonly JwtHost[]
}

/** Beyond it, watchers of other identities make their state again. */
const MAX_STATES = 16
/** Beyond it, the WIT-SVID that was asked for least recently is made again at the next question. */
const MAX_WITS = 4_096

/**
 * The handlers of spiffe.sock: each process receives the identities that are registered for it, or, if there are none, those that are
 * registered for its user. The rest of its user's are for the processes that registered them (see docs/concepts.md).
 */
export function spiffeHandlers(deps: SpiffeDeps): SpiffeHandlers {
  const { trustDomain, svids, roots, nowMs, hostMs, tokens } = deps
  const domainId = `spiffe://${trustDomain}`
  // One for all watchers of the same identities.
  const made = new LruMap<string, ReturnType<typeof x509State>>(MAX_STATES)
  const wits = new LruMap<string, Wit>(MAX_WITS)
  const bundle = (): Buffer => Buffer.concat(roots())
  const jwtBundle = (): Buffer => Buffer.from(JSON.stringify(keySet(deps.jwtHosts())))
  const identities = (caller: Parameters<typeof identitiesOf>[1]) => identitiesOf(deps.registrations, caller)

  const witOf = async ({ registrationId, spiffeId }: Workload): Promise<Wit> => {
    const known = wits.get(registrationId)
    if (known !== undefined && hostMs() < renewAt(known) && hostMs() >= known.notBeforeMs) return known
    const wit = await signWit(tokens.signing, spiffeId, hostMs(), tokens.tokenMs)
    wits.set(registrationId, wit)
    return wit
  }

  return {
    async *fetchX509SVID(_request, caller, signal) {
      const own = identities(caller)
      yield* states(caller, signal, deps, async () => {
        const issued = await issueAll(svids, own())
        const bundled = bundle()
        const key = stateKey(issued, bundled)
        return {
          message: () => made.getOrMake(key, () => caller.share.timed(() => x509State(issued, bundled))),
          key,
          renewAtMs: firstRenewal(issued.map(({ svid }) => svid))
        }
      })
    },

    async *fetchX509Bundles(_request, caller, signal) {
      const own = identities(caller)
      yield* states(caller, signal, deps, async () => {
        own()
        const bundles = { [domainId]: bundle() }
        return { message: () => ({ crl: [], bundles }), key: digest(Object.values(bundles)) }
      })
    },

    async fetchJWTSVID({ audience, spiffeId }, caller, signal) {
      const signed: Array<{ spiffeId: string; svid: string; hint: string }> = []
      for (const workload of askedFor(identities(caller)(), spiffeId)) {
        if (signed.length > 0) await caller.share.turn(signal)
        const { spiffeId: id } = workload
        const svid = await signJwt(tokens.signing, id, audience, hostMs(), tokens.tokenMs, deps.issuer)
        signed.push({ spiffeId: id, svid, hint: hintOf(workload) })
      }
      return { svids: signed }
    },

    async *fetchJWTBundles(_request, caller, signal) {
      const own = identities(caller)
      yield* states(caller, signal, deps, async () => {
        own()
        const keys = caller.share.timed(jwtBundle)
        return { message: () => ({ bundles: { [domainId]: keys } }), key: digest([keys]) }
      })
    },

    async validateJWTSVID({ audience, svid }, { share }) {
      const { spiffeId, claims } = await share.timed(() =>
        validateJwt(svid, audience, trustDomain, deps.jwtHosts(), nowMs())
      )
      return { spiffeId, claims: claims as JsonObject }
    },

    async *fetchWITSVID({ spiffeId }, caller, signal) {
      const own = identities(caller)
      yield* states(caller, signal, { changed: deps.changed, nowMs: hostMs }, async () => {
        const found: Array<{ workload: Workload; wit: Wit }> = []
        for (const workload of askedFor(own(), spiffeId)) {
          if (found.length > 0) await caller.share.turn(signal)
          found.push({ workload, wit: await witOf(workload) })
        }
        return {
          message: () => ({ svids: found.map(witSvid) }),
          key: digest(found.map(({ wit }) => wit.token)),
          renewAtMs: firstRenewal(found.map(({ wit }) => wit))
        }
      })
    },

    async *fetchWITBundles(_request, caller, signal) {
      const own = identities(caller)
      yield* states(caller, signal, deps, async () => {
        own()
        const keys = caller.share.timed(() => JSON.stringify(witKeySet(deps.jwtHosts())))
        return { message: () => ({ bundles: { [domainId]: keys } }), key: digest([keys]) }
      })
    }
  }
}

function x509State(issued: readonly Issued[], bundle: Uint8Array) {
  return { svids: issued.map(one => x509Svid(one, bundle)), crl: [], federatedBundles: {} }
}

function x509Svid({ workload, svid }: Issued, bundle: Uint8Array) {
  return {
    spiffeId: workload.spiffeId,
    x509Svid: Buffer.concat(svid.chainDer),
    x509SvidKey: svid.key.export({ format: 'der', type: 'pkcs8' }),
    bundle,
    hint: hintOf(workload)
  }
}

function witSvid({ workload, wit }: { readonly workload: Workload; readonly wit: Wit }) {
  return { spiffeId: workload.spiffeId, witSvid: wit.token, witSvidKey: wit.key, hint: hintOf(workload) }
}
