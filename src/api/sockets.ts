import { join } from 'node:path'
import type { AdminHandlers, WorkloadHandlers } from './handlers.ts'
import { adminRoutes, workloadRoutes } from './routes.ts'
import { type LocalServer, type LocalServerOptions, serveLocal } from './serve-local.ts'

export interface ApiOptions<H> extends Pick<LocalServerOptions, 'credentials' | 'log' | 'metrics' | 'limits'> {
  readonly runtimeDir: string
  readonly handlers: H
}

export interface AdminApiOptions extends ApiOptions<AdminHandlers> {
  /** The uid that runs the agent; it and root may use the socket. @default that of this process */
  readonly agentUid?: number | undefined
}

/** Serves `agent.sock`: any local process may ask; who it is decides what it gets. Throws as `serveLocal`. */
export async function serveWorkloadApi(options: ApiOptions<WorkloadHandlers>): Promise<LocalServer> {
  const { runtimeDir, handlers, ...shared } = options
  const path = join(runtimeDir, 'agent.sock')
  return await serveLocal({ path, mode: 0o666, ...shared, routes: workloadRoutes(handlers) })
}

/** Serves `admin.sock`, mode 0600: for root and the agent's own user only, by the kernel's word. Throws as `serveLocal`. */
export async function serveAdminApi(options: AdminApiOptions): Promise<LocalServer> {
  const { runtimeDir, handlers, agentUid = process.getuid?.(), ...shared } = options
  const path = join(runtimeDir, 'admin.sock')
  const permits = (uid: number): boolean => uid === 0 || uid === agentUid
  return await serveLocal({ path, mode: 0o600, ...shared, permits, routes: adminRoutes(handlers) })
}
