import type { ProcessHandle } from '../attest/index.ts'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { createListenDirectory } from './listen-directory.ts'
import type { PortServer } from './port-server.ts'
import type { Caller, RegisterInput } from './register-input.ts'
import { portTarget, unixTarget } from './target.ts'
import type { Protocol, Target, Workload } from './workload.ts'

/** The target of connections, and the directory that was made for it. */
export interface Delivery {
  readonly target: Target | undefined
  readonly directory: string | undefined
  readonly check: Workload['check']
}

/** The check of a port of this host for the new registration; undefined if there is none. */
export type ServerAt = (protocol: Protocol, host: string, port: number) => PortServer | undefined

/** The caller, the process to register, and the parts that are made for it. */
export interface DeliveryOptions {
  readonly caller: Caller
  /** The process that the registration is for. */
  readonly owner: ProcessHandle
  /** Directory of the agent for listening sockets. */
  readonly listenDir: string
  readonly serverAt: ServerAt
}

/**
 * Prepares the target of a registration for `owner`. Throws INVALID_ARGUMENT, PERMISSION_DENIED for a port of another network,
 * or CANNOT_CONNECT for the listening directory.
 */
export function deliveryOf(
  { target, healthCheck = true }: RegisterInput,
  { caller, owner, listenDir, serverAt }: DeliveryOptions
): Delivery {
  if (target?.kind === 'tcp' || target?.kind === 'udp') requireNetwork(caller)
  const connecting = healthCheck ? 'connect' : undefined
  switch (target?.kind) {
    case undefined:
      return { target: undefined, directory: undefined, check: undefined }
    case 'udp': {
      // A server that answers only its own protocol cannot be probed; only the kernel can say whose it is.
      if (target.proxy === true) throw noProxy('udp')
      const { host, port } = portTarget(target.address)
      const server = serverAt('udp', host, port)
      const check = healthCheck && server !== undefined ? 'holder' : undefined
      return { target: { kind: 'udp', host, port, server }, directory: undefined, check }
    }
    case 'tcp': {
      const { proxy = false } = target
      const { host, port } = portTarget(target.address)
      const tcp: Target = { kind: 'tcp', host, port, server: serverAt('tcp', host, port) }
      return { target: withProxy(tcp, proxy), directory: undefined, check: connecting }
    }
    case 'unix': {
      const { proxy = false } = target
      return {
        target: withProxy(unixTarget(target.path, owner, caller), proxy),
        directory: undefined,
        check: connecting
      }
    }
    case 'listen': {
      const { hello, protocol, answersProbes = false, proxy = false } = target
      const check = healthCheck && hello && answersProbes ? 'hello' : undefined
      const { directory, socketPath, made } = createListenDirectory(listenDir, caller.uid, caller.gid)
      const { uid, view } = caller
      const unix: Target = { kind: 'unix', path: socketPath, made, uid, view, hello, protocol }
      return { target: withProxy(unix, proxy), directory, check }
    }
  }
}

// The agent would connect for the caller to servers in its own network, which the caller cannot reach.
function requireNetwork({ sharesNetwork }: Caller): void {
  if (sharesNetwork) return
  throw new WarrenError(
    ErrorCode.PermissionDenied,
    'the ports of this host are not those of the process: it has a network of its own',
    {
      hint: 'Serve on a unix socket (`warren serve`, or --unix), or register from outside of the container.'
    }
  )
}

function noProxy(kind: string): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, `PROXY protocol does not go with a ${kind} target`, {
    hint: 'It is for TCP servers and unix sockets; a program that uses the library learns its peer from the hello.'
  })
}

function withProxy(target: Target, proxy: boolean): Target {
  return target.kind === 'udp' || !proxy ? target : { ...target, proxy }
}
