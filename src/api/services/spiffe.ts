import type { JsonObject } from '@bufbuild/protobuf'
import { type LocalUser, sameUser } from '../../attest/index.ts'
import { type JwtHost, keySet, renewAt, type Svid, type Svids, type signJwt, validateJwt } from '../../ca/index.ts'
import { ErrorCode, raceAbort, sleep, WarrenError } from '../../core/index.ts'
import type { Workload } from '../../workloads/index.ts'
import type { Caller, SpiffeHandlers } from '../index.ts'

export interface SpiffeDeps {
  readonly trustDomain: string
  /** Live registrations of this host, oldest first. */
  readonly registrations: () => readonly Workload[]
  /** SVIDs whose keys are given away; never those of the proxy. */
  readonly svids: Pick<Svids, 'get'>
  /** DER. */
  readonly roots: () => readonly Uint8Array[]
  readonly jwt: (spiffeId: string, audience: readonly string[]) => ReturnType<typeof signJwt>
  readonly jwtHosts: () => readonly JwtHost[]
  /** Resolves at the next change of registrations, roots or hosts. */
  readonly changed: () => Promise<void>
  readonly nowMs: () => number
}

// A watcher of a busy mesh gets whole states, not one per change.
const PAUSE_MS = 100
// setTimeout fires at once for more than 2^31 ms.
const MAX_WAIT_MS = 3_600_000

/**
 * The handlers of spiffe.sock: each process receives the identities that are registered for it, or, if it registered none itself,
 * those of its user. Processes of one user are not kept apart (see docs/concepts.md).
 */
export function spiffeHandlers(deps: SpiffeDeps): SpiffeHandlers {
  const { trustDomain, svids, roots, changed, nowMs } = deps
  const domainId = `spiffe://${trustDomain}`
  const bundle = (): Buffer => Buffer.concat(roots())
  const jwtBundle = (): Buffer => Buffer.from(JSON.stringify(keySet(deps.jwtHosts())))

  const identities = (caller: Pick<Caller, keyof LocalUser | 'pid'>): readonly Workload[] => {
    const ofUser = deps.registrations().filter(workload => sameUser(workload, caller))
    const own = ofUser.filter(({ process }) => process.pid === caller.pid)
    const found = own.length > 0 ? own : ofUser
    if (found.length > 0) return found
    throw new WarrenError(ErrorCode.PermissionDenied, 'no identity is registered for this process or its user', {
      hint: 'Register it, for instance with `warren register`.'
    })
  }

  return {
    async *fetchX509SVID(_request, caller, signal) {
      yield* states(signal, changed, nowMs, async () => {
        const workloads = identities(caller)
        const issued = await Promise.all(workloads.map(({ registrationId }) => svids.get(registrationId)))
        const bundled = bundle()
        return {
          message: {
            svids: workloads.map(({ spiffeId }, at) => x509Svid(spiffeId, issued[at] as Svid, bundled)),
            crl: [],
            federatedBundles: {}
          },
          key: Buffer.concat([...issued.flatMap(({ chainDer }) => chainDer.slice(0, 1)), bundled]).toString('base64'),
          renewAtMs: Math.min(...issued.map(renewAt))
        }
      })
    },

    async *fetchX509Bundles(_request, caller, signal) {
      yield* states(signal, changed, nowMs, async () => {
        identities(caller)
        const bundles = { [domainId]: bundle() }
        return { message: { crl: [], bundles }, key: bundles[domainId]?.toString('base64') ?? '' }
      })
    },

    async fetchJWTSVID({ audience, spiffeId }, caller) {
      const all = identities(caller)
      const wanted = spiffeId === '' ? all : all.filter(one => one.spiffeId === spiffeId)
      if (wanted.length === 0) {
        throw new WarrenError(ErrorCode.PermissionDenied, `${spiffeId.slice(0, 300)} is not registered for this caller`)
      }
      const names = [...new Set(wanted.map(one => one.spiffeId))]
      const made = names.map(async name => ({ spiffeId: name, svid: await deps.jwt(name, audience), hint: '' }))
      return { svids: await Promise.all(made) }
    },

    async *fetchJWTBundles(_request, caller, signal) {
      yield* states(signal, changed, nowMs, async () => {
        identities(caller)
        const bundles = { [domainId]: jwtBundle() }
        return { message: { bundles }, key: String(bundles[domainId]) }
      })
    },

    async validateJWTSVID({ audience, svid }) {
      const { spiffeId, claims } = await validateJwt(svid, audience, trustDomain, deps.jwtHosts(), nowMs())
      return { spiffeId, claims: claims as JsonObject }
    }
  }
}

interface State<M> {
  readonly message: M
  /** Equal for equal states. */
  readonly key: string
  /** Wall time at which it must be made again even if nothing changed. */
  readonly renewAtMs?: number
}

/** The whole state, at once and after each change; ends with an error when the caller has no right to it any more. */
async function* states<M>(
  signal: AbortSignal,
  changed: () => Promise<void>,
  nowMs: () => number,
  make: () => Promise<State<M>>
): AsyncGenerator<M> {
  let shown: string | undefined
  while (!signal.aborted) {
    const change = changed()
    const { message, key, renewAtMs } = await make()
    if (key !== shown) {
      shown = key
      yield message
    }
    const waiting = new AbortController()
    const until = AbortSignal.any([signal, waiting.signal])
    const renewal = sleep(Math.min(MAX_WAIT_MS, Math.max(PAUSE_MS, (renewAtMs ?? Infinity) - nowMs())), until)
    try {
      await raceAbort(Promise.race([change, renewal]), signal)
    } finally {
      waiting.abort()
      renewal.catch(() => {})
    }
    await sleep(PAUSE_MS, signal)
  }
}

function x509Svid(spiffeId: string, { chainDer, key }: Svid, bundle: Uint8Array) {
  return {
    spiffeId,
    x509Svid: Buffer.concat(chainDer),
    x509SvidKey: key.export({ format: 'der', type: 'pkcs8' }),
    bundle,
    hint: ''
  }
}
