import { createHash } from 'node:crypto'
import { type LocalUser, sameUser } from '../../attest/index.ts'
import { renewAt, type Svid, type Svids } from '../../ca/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { Workload } from '../../workloads/index.ts'
import type { Caller } from '../caller.ts'

/** An identity of a caller, with its certificate and key. */
export interface Issued {
  readonly workload: Workload
  readonly svid: Svid
}

/** Connections that have had the identities of their process. */
const ofProcess = new WeakSet<AbortSignal>()

/**
 * Tells the identities of a caller at any time of one call: those that are registered for its process or, if there are none, those
 * that are registered for its user: one registration for each ID, the oldest, in the order of the IDs. The first is what clients take
 * that do not choose.
 *
 * A connection that has had the identities of its process never gets those of its user: a watcher would take another identity for
 * its own when its registration ends, and clients ask again on the same connection. A client that connects anew gets them.
 *
 * The result throws PERMISSION_DENIED if there are none.
 */
export function identitiesOf(
  registrations: () => readonly Workload[],
  caller: Pick<Caller, keyof LocalUser | 'pid' | 'connection'>
): () => Workload[] {
  const { connection } = caller
  return () => {
    const ofUser = registrations().filter(workload => sameUser(workload, caller))
    const own = ofUser.filter(({ forUser, process }) => !forUser && process.pid === caller.pid)
    if (own.length > 0) ofProcess.add(connection)
    const hadOwn = ofProcess.has(connection)
    const found = hadOwn ? own : ofUser.filter(({ forUser }) => forUser)
    if (found.length > 0) return oneOfEach(found)
    if (hadOwn) throw new WarrenError(ErrorCode.PermissionDenied, 'the registration of this process has ended')
    throw new WarrenError(ErrorCode.PermissionDenied, 'no identity is registered for this process or its user', {
      hint: 'Register it: `warren register ADDRESS` is for all programs of your user, with `--pid PID` for one.'
    })
  }
}

/** Those of `all` that a caller asked for by its SPIFFE ID, or all if it named none. Throws PERMISSION_DENIED for none. */
export function askedFor(all: readonly Workload[], spiffeId: string): readonly Workload[] {
  const wanted = spiffeId === '' ? all : all.filter(one => one.spiffeId === spiffeId)
  if (wanted.length > 0) return wanted
  throw new WarrenError(ErrorCode.PermissionDenied, `${spiffeId.slice(0, 300)} is not registered for this caller`)
}

/** The certificates of these, one after the other, so that nobody waits for all that another one asked for. */
export async function issueAll(svids: Pick<Svids, 'get'>, workloads: readonly Workload[]): Promise<Issued[]> {
  const issued: Issued[] = []
  for (const workload of workloads)
    issued.push({ workload, svid: await svids.get(workload.registrationId, workload.dnsNames) })
  return issued
}

/** When the first of these is due to be renewed, wall milliseconds. */
export function firstRenewal(issued: ReadonlyArray<Pick<Svid, 'notBeforeMs' | 'notAfterMs'>>): number {
  return Math.min(...issued.map(renewAt))
}

/** Equal for certificates with the same leaves and the same further parts. */
export function stateKey(issued: readonly Issued[], ...parts: readonly Uint8Array[]): string {
  return digest([...issued.flatMap(({ svid }) => svid.chainDer.slice(0, 1)), ...parts])
}

export function digest(parts: ReadonlyArray<Uint8Array | string>): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('base64')
}

/** The address without the machine: the same for each instance, so that a program can choose by it on every host. */
export function hintOf({ address }: Workload): string {
  const { scope, appGroup, appIdentity, resourceGroup } = address
  return [scope, appGroup, appIdentity, resourceGroup].join('.')
}

function oneOfEach(workloads: readonly Workload[]): Workload[] {
  const byId = new Map<string, Workload>()
  for (const workload of workloads) if (!byId.has(workload.spiffeId)) byId.set(workload.spiffeId, workload)
  return [...byId.values()].sort((a, b) => (a.spiffeId < b.spiffeId ? -1 : 1))
}
