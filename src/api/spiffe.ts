import { join } from 'node:path'
import type { HandlerContext } from '@connectrpc/connect'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { envoySdsPb, grpcHealthPb, grpcReflectionAlphaPb, grpcReflectionPb, spiffePb } from '../wire/index.ts'
import { healthHandlers, reflectionHandlers } from './grpc/index.ts'
import type { SpiffeSocketHandlers } from './handlers.ts'
import { mount, type Routes } from './routes.ts'
import { type LocalServer, serveLocal } from './serve-local.ts'
import type { ApiOptions } from './sockets.ts'

const SERVICES = [
  spiffePb.SpiffeWorkloadAPI,
  envoySdsPb.SecretDiscoveryService,
  grpcHealthPb.Health,
  grpcReflectionPb.ServerReflection,
  grpcReflectionAlphaPb.ServerReflection
]

/** The calls of spiffe.sock. */
export function spiffeRoutes({ workloadApi, secrets, isServing, changed }: SpiffeSocketHandlers): Routes {
  const reflection = reflectionHandlers(SERVICES)
  const health = healthHandlers({ services: SERVICES.map(({ typeName }) => typeName), isServing, changed })
  return (router, context) => {
    mount(router, spiffePb.SpiffeWorkloadAPI, workloadApi, { ...context, check: requireSecurityHeader })
    mount(router, envoySdsPb.SecretDiscoveryService, secrets, { ...context, check: requireGrpc })
    mount(router, grpcHealthPb.Health, health, context)
    mount(router, grpcReflectionPb.ServerReflection, reflection, context)
    mount(router, grpcReflectionAlphaPb.ServerReflection, reflection, context)
  }
}

/**
 * Serves the SPIFFE Workload API and Envoy's secret discovery on `spiffe.sock`, to any local process; its identity decides the answer.
 *
 * Throws as `serveLocal`.
 */
export async function serveSpiffeApi(options: ApiOptions<SpiffeSocketHandlers>): Promise<LocalServer> {
  const { runtimeDir, handlers, ...shared } = options
  const path = join(runtimeDir, 'spiffe.sock')
  return await serveLocal({ path, mode: 0o666, service: 'spiffe', ...shared, routes: spiffeRoutes(handlers) })
}

// Without it, an attacker could use a program that sends requests on demand (a proxy, a browser) to fetch keys:
// https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md#6-authentication
function requireSecurityHeader({ requestHeader }: HandlerContext): void {
  if (requestHeader.get('workload.spiffe.io') === 'true') return
  throw new WarrenError(ErrorCode.InvalidArgument, 'the metadata "workload.spiffe.io: true" is missing')
}

// Envoy sends no such header, as configurations for SPIRE have none. A program that sends requests on demand speaks HTTP/1.1 here, and
// gRPC needs HTTP/2.
function requireGrpc(context: HandlerContext): void {
  if (context.protocolName !== 'grpc') requireSecurityHeader(context)
}
