import { join } from 'node:path'
import type { HandlerContext } from '@connectrpc/connect'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { spiffePb } from '../wire/index.ts'
import type { SpiffeHandlers } from './handlers.ts'
import { mount, type Routes } from './routes.ts'
import { type LocalServer, serveLocal } from './serve-local.ts'
import type { ApiOptions } from './sockets.ts'

/** The calls of spiffe.sock. */
export function spiffeRoutes(handlers: SpiffeHandlers): Routes {
  return (router, context) => {
    mount(router, spiffePb.SpiffeWorkloadAPI, handlers, { ...context, check: requireSecurityHeader })
  }
}

/**
 * Serves the SPIFFE Workload API on `spiffe.sock`, to any local process; its identity decides the answer.
 *
 * Throws as `serveLocal`.
 */
export async function serveSpiffeApi(options: ApiOptions<SpiffeHandlers>): Promise<LocalServer> {
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
