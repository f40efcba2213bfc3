import type { ProcessHandle } from '../attest/index.ts'
import { ErrorCode, type Protocol, WarrenError } from '../core/index.ts'
import { checkerFor } from './health/index.ts'
import { createListenDirectory, type ListenDirectory } from './listen-directory.ts'
import type { RegisterInput, Registrant } from './register-input.ts'
import { gatewayTarget, type PortServer, portTarget, type Target, unixTarget } from './target.ts'
import type { Workload } from './workload.ts'

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
  readonly caller: Registrant
  /** The process that the registration is for. */
  readonly owner: ProcessHandle
  /** Directory of the agent for listening sockets. */
  readonly listenDir: string
  /** Made before, for this registration. @default a new one is made */
  readonly made?: ListenDirectory | undefined
  readonly serverAt: ServerAt
}

/**
 * Prepares the target of a registration for `owner`. Throws INVALID_ARGUMENT, PERMISSION_DENIED for a port of another network,
 * or CANNOT_CONNECT for the listening directory.
 */
export function deliveryOf(input: RegisterInput, options: DeliveryOptions): Delivery {
  const { healthCheck = 'auto' } = input
  const check = input.target === undefined ? undefined : checkerFor(input.target, healthCheck)
  const { target, directory } = placeOf(input, options)
  // Anybody may have the port, so there is nothing to find out.
  const isUnwatched = target?.kind === 'udp' && target.server === undefined
  return { target, directory, check: isUnwatched ? undefined : check }
}

function placeOf(
  { target }: RegisterInput,
  { caller, owner, listenDir, made: before, serverAt }: DeliveryOptions
): Omit<Delivery, 'check'> {
  if (target?.kind === 'tcp' || target?.kind === 'udp') requireNetwork(caller)
  switch (target?.kind) {
    case undefined:
      return { target: undefined, directory: undefined }
    case 'udp': {
      if (target.proxy === true) throw noProxy('udp')
      if (target.gateway === true) throw noGateway()
      const { host, port } = portTarget(target.address)
      const server = serverAt('udp', host, port)
      return { target: { kind: 'udp', host, port, server }, directory: undefined }
    }
    case 'tcp': {
      const { proxy = false } = target
      if (target.gateway === true)
        return { target: withProxy(gatewayTarget(target.address), proxy), directory: undefined }
      const { host, port } = portTarget(target.address)
      const tcp: Target = { kind: 'tcp', host, port, server: serverAt('tcp', host, port) }
      return { target: withProxy(tcp, proxy), directory: undefined }
    }
    case 'unix': {
      const { proxy = false } = target
      return { target: withProxy(unixTarget(target.path, owner, caller), proxy), directory: undefined }
    }
    case 'listen': {
      const { hello, protocol, proxy = false } = target
      const { directory, socketPath, made } = before ?? createListenDirectory(listenDir, caller.uid, caller.gid)
      const { uid, view } = caller
      const unix: Target = { kind: 'unix', path: socketPath, made, uid, view, hello, protocol }
      return { target: withProxy(unix, proxy), directory }
    }
  }
}

// The agent would connect on the caller's behalf to what listens in its own network, and the caller has no way there.
function requireNetwork({ sharesNetwork }: Registrant): void {
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

function noGateway(): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, 'a gateway leads to TCP servers only', {
    hint: 'Run warren on the host where the UDP server runs.'
  })
}

function withProxy(target: Target, proxy: boolean): Target {
  return target.kind === 'udp' || !proxy ? target : { ...target, proxy }
}
