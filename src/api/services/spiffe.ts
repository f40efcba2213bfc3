import { createHash } from 'node:crypto'
import type { JsonObject } from '@bufbuild/protobuf'
import { type LocalUser, sameUser } from '../../attest/index.ts'
import { type JwtHost, keySet, renewAt, type Svid, type Svids, type signJwt, validateJwt } from '../../ca/index.ts'
import { ErrorCode, LruMap, raceAbort, sleep, WarrenError } from '../../core/index.ts'
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
/** Beyond it, watchers of other identities make their state again. */
const MAX_STATES = 16

/**
 * The handlers of spiffe.sock: each process receives the identities that are registered for it, or, if there are none, those that are
 * registered for its user. The rest of its user's are for the processes that registered them (see docs/concepts.md).
 */
export function spiffeHandlers(deps: SpiffeDeps): SpiffeHandlers {
  const { trustDomain, svids, roots, changed, nowMs } = deps
  const domainId = `spiffe://${trustDomain}`
  // One for all watchers of the same identities.
  const made = new LruMap<string, ReturnType<typeof x509State>>(MAX_STATES)
  const bundle = (): Buffer => Buffer.concat(roots())
  const jwtBundle = (): Buffer => Buffer.from(JSON.stringify(keySet(deps.jwtHosts())))

  const identities = (caller: Pick<Caller, keyof LocalUser | 'pid'>): Workload[] => {
    const ofUser = deps.registrations().filter(workload => sameUser(workload, caller))
    const own = ofUser.filter(({ forUser, process }) => !forUser && process.pid === caller.pid)
    const found = own.length > 0 ? own : ofUser.filter(({ forUser }) => forUser)
    if (found.length > 0) return oneOfEach(found)
    throw new WarrenError(ErrorCode.PermissionDenied, 'no identity is registered for this process or its user', {
      hint: 'Register it: `warren register ADDRESS` is for all programs of your user, with `--pid PID` for one.'
    })
  }

  return {
    async *fetchX509SVID(_request, caller, signal) {
      yield* states(caller, signal, changed, nowMs, async () => {
        const issued: Issued[] = []
        // One after the other, so that nobody waits for all that another one asked for.
        for (const workload of identities(caller)) {
          issued.push({ workload, svid: await svids.get(workload.registrationId) })
        }
        const bundled = bundle()
        const key = digest([...issued.flatMap(({ svid }) => svid.chainDer.slice(0, 1)), bundled])
        return {
          message: () => made.getOrMake(key, () => caller.share.timed(() => x509State(issued, bundled))),
          key,
          renewAtMs: Math.min(...issued.map(({ svid }) => renewAt(svid)))
        }
      })
    },

    async *fetchX509Bundles(_request, caller, signal) {
      yield* states(caller, signal, changed, nowMs, async () => {
        identities(caller)
        const bundles = { [domainId]: bundle() }
        return { message: () => ({ crl: [], bundles }), key: digest(Object.values(bundles)) }
      })
    },

    async fetchJWTSVID({ audience, spiffeId }, caller, signal) {
      const all = identities(caller)
      const wanted = spiffeId === '' ? all : all.filter(one => one.spiffeId === spiffeId)
      if (wanted.length === 0) {
        throw new WarrenError(ErrorCode.PermissionDenied, `${spiffeId.slice(0, 300)} is not registered for this caller`)
      }
      const signed: Array<{ spiffeId: string; svid: string; hint: string }> = []
      for (const workload of wanted) {
        if (signed.length > 0) await caller.share.turn(signal)
        const { spiffeId: id } = workload
        signed.push({ spiffeId: id, svid: await deps.jwt(id, audience), hint: hintOf(workload) })
      }
      return { svids: signed }
    },

    async *fetchJWTBundles(_request, caller, signal) {
      yield* states(caller, signal, changed, nowMs, async () => {
        identities(caller)
        const keys = caller.share.timed(jwtBundle)
        return { message: () => ({ bundles: { [domainId]: keys } }), key: digest([keys]) }
      })
    },

    async validateJWTSVID({ audience, svid }, { share }) {
      const { spiffeId, claims } = await share.timed(() =>
        validateJwt(svid, audience, trustDomain, deps.jwtHosts(), nowMs())
      )
      return { spiffeId, claims: claims as JsonObject }
    }
  }
}

interface State<M> {
  readonly message: () => M
  /** Equal for equal states. */
  readonly key: string
  /** Wall time at which it must be made again even if nothing changed. */
  readonly renewAtMs?: number
}

/** The whole state, at once and after each change; ends with an error when the caller has no right to it any more. */
async function* states<M>(
  { share }: Pick<Caller, 'share'>,
  signal: AbortSignal,
  changed: () => Promise<void>,
  nowMs: () => number,
  make: () => Promise<State<M>>
): AsyncGenerator<M> {
  let shown: string | undefined
  while (!signal.aborted) {
    const change = changed()
    const state = await make().catch(unlessEnded)
    if (state !== undefined && state.key !== shown) {
      shown = state.key
      yield state.message()
    }
    await changeOrTime(change, Math.max(PAUSE_MS, (state?.renewAtMs ?? Infinity) - nowMs()), signal)
    await sleep(PAUSE_MS, signal)
    await share.turn(signal)
  }
}

/** Resolves at a change, or after `ms` milliseconds. */
async function changeOrTime(change: Promise<void>, ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, Math.min(MAX_WAIT_MS, ms))
  change.then(resolve, resolve)
  try {
    await raceAbort(promise, signal)
  } finally {
    clearTimeout(timer)
  }
}

// A registration ended while the certificates were made: the change that says so is there already.
function unlessEnded(err: unknown): undefined {
  if (err instanceof WarrenError && err.code === ErrorCode.InvalidSource) return undefined
  throw err
}

function digest(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('base64')
}

interface Issued {
  readonly workload: Workload
  readonly svid: Svid
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

/** One registration for each ID, the oldest, in the order of the IDs: the first is what clients take that do not choose. */
function oneOfEach(workloads: readonly Workload[]): Workload[] {
  const byId = new Map<string, Workload>()
  for (const workload of workloads) if (!byId.has(workload.spiffeId)) byId.set(workload.spiffeId, workload)
  return [...byId.values()].sort((a, b) => (a.spiffeId < b.spiffeId ? -1 : 1))
}

/** The address without the machine: the same for each instance, so that a program can choose by it on every host. */
function hintOf({ address }: Workload): string {
  const { scope, appGroup, appIdentity, resourceGroup } = address
  return [scope, appGroup, appIdentity, resourceGroup].join('.')
}
