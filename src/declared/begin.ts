import type { DeclaredForward, DeclaredService } from '../config/index.ts'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { parsePattern } from '../identity/index.ts'
import type { DataPlane } from '../proxy/index.ts'
import type { Workloads } from '../workloads/index.ts'
import type { Running } from './item.ts'
import { requireSafeDirectory } from './safe-directory.ts'
import type { DeclaredSources } from './sources.ts'

export interface BeginDeps {
  readonly workloads: Pick<Workloads, 'declare' | 'end' | 'get'>
  readonly proxy: Pick<DataPlane, 'listen'>
  readonly sources: DeclaredSources
  /** The user of a name; undefined if nobody has it. */
  readonly uidOf: (name: string) => Promise<number | undefined>
}

const APPLICATION = 'warren.yaml'

/** Registers a service of a file. Rejects as `declare`, or with INVALID_ARGUMENT for a user that does not exist. */
export async function beginService(service: DeclaredService, { workloads, uidOf }: BeginDeps): Promise<Running> {
  const uid = await requireUser(service.user, uidOf)
  const { target, proxyProtocol: proxy, serverUser } = service
  const { registrationId } = await workloads.declare(
    {
      address: service.address,
      target: target.kind === 'unix' ? { ...target, proxy } : { ...target, proxy, serverUser },
      healthCheck: service.healthCheck,
      maxConnects: service.maxConnects,
      maxRate: service.maxRate,
      whitelist: service.allow,
      labels: service.labels,
      ports: service.ports,
      weight: service.weight,
      multipath: service.multipath,
      dnsNames: service.dnsNames,
      ttlMs: 0,
      ownerPid: 0,
      // The server is a program of its own, which the file does not name.
      forUser: true,
      application: APPLICATION
    },
    uid
  )
  return { registrationId, close: async () => workloads.end(registrationId, 'deregistered') }
}

/**
 * Binds the listener of a forward, and then registers its source: a port that is taken must not cost a registration at each
 * attempt. Rejects as `listen` and `declare`, or with UNSUPPORTED for datagrams at a unix socket of another user.
 */
export async function beginForward(forward: DeclaredForward, { proxy, sources, uidOf }: BeginDeps): Promise<Running> {
  const uid = await requireUser(forward.user, uidOf)
  const { listen: endpoint, protocol, strategy, keepAliveMs, idleMs, oneQuestion } = forward
  if (endpoint.kind === 'unix') {
    requireSafeDirectory(endpoint.path, uid)
    if (protocol === 'udp') requireOwnUser(uid)
  }
  const destination = parsePattern(forward.destination)
  const listener = await proxy
    .listen({ endpoint, destination, protocol, strategy, keepAliveMs, idleMs, oneQuestion, uid })
    .catch((err: unknown) => {
      if (!WarrenError.is(err, ErrorCode.PortInUse)) throw err
      throw new WarrenError(err.code, err.reason, {
        cause: err,
        hint: 'Stop that program, or choose another place to listen.'
      })
    })
  try {
    const { workload, release } = await sources.acquire(forward.as, uid)
    listener.serve(workload)
    return {
      registrationId: workload.registrationId,
      close: async reason => {
        await listener.close(reason)
        release()
      }
    }
  } catch (err) {
    await listener.close()
    throw err
  }
}

/**
 * Answers to a SOCK_DGRAM unix socket go to the path that its client has bound, which the client can replace by a link: the agent must
 * not send there with more rights than the client has.
 */
function requireOwnUser(uid: number): void {
  if (uid === process.geteuid?.()) return
  throw new WarrenError(ErrorCode.Unsupported, `datagrams at a unix socket are not possible for uid ${uid} here`, {
    hint: 'Listen on a UDP port, or run `warren forward --udp --listen unix:PATH` as that user.'
  })
}

async function requireUser(user: string, uidOf: BeginDeps['uidOf']): Promise<number> {
  const uid = /^\d{1,10}$/.test(user) ? Number(user) : await uidOf(user)
  if (uid !== undefined) return uid
  throw new WarrenError(ErrorCode.InvalidArgument, `this host knows no user "${user.slice(0, 80)}"`, {
    hint: 'Create the user, or correct the name.'
  })
}
