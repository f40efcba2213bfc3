import { join } from 'node:path'
import type { PeerCredentials } from '../attest/index.ts'
import { ErrorCode, WarrenError } from '../core/index.ts'
import type { AdminHandlers, WorkloadHandlers } from './handlers.ts'
import { adminRoutes, workloadRoutes } from './routes.ts'
import { type LocalServer, type LocalServerOptions, serveLocal } from './serve-local.ts'

export interface ApiOptions<H>
  extends Pick<LocalServerOptions, 'credentials' | 'log' | 'metrics' | 'limits' | 'handover'> {
  readonly runtimeDir: string
  readonly handlers: H
}

/** A policy of the largest size, as a document. Nobody but the operator of the host may send it. */
const MAX_ADMIN_BODY_BYTES = 2 * 1024 * 1024

export interface AdminApiOptions extends ApiOptions<AdminHandlers> {
  /** The uid that runs the agent; its processes of this host and those of root may use the socket. @default that of this process */
  readonly agentUid?: number | undefined
}

/** Serves `agent.sock`: any local process may call it; its identity decides the answer. Throws as `serveLocal`. */
export async function serveWorkloadApi(options: ApiOptions<WorkloadHandlers>): Promise<LocalServer> {
  const { runtimeDir, handlers, ...shared } = options
  const path = join(runtimeDir, 'agent.sock')
  return await serveLocal({ path, mode: 0o666, service: 'workload', ...shared, routes: workloadRoutes(handlers) })
}

/**
 * Serves `admin.sock`, mode 0600: for processes of this host that run as root or as the agent's own user, by the kernel's
 * word. Throws as `serveLocal`.
 */
export async function serveAdminApi(options: AdminApiOptions): Promise<LocalServer> {
  const { runtimeDir, handlers, agentUid = process.getuid?.(), limits, ...shared } = options
  const path = join(runtimeDir, 'admin.sock')
  const refuse = (who: PeerCredentials): WarrenError | undefined => {
    if (who.uid !== 0 && who.uid !== agentUid) return notTheOperator(`uid ${who.uid}`)
    return who.view.isOfHost ? undefined : notTheOperator(`uid ${who.uid} of a process that ${who.view.whyNot}`)
  }
  return await serveLocal({
    path,
    mode: 0o600,
    service: 'admin',
    ...shared,
    limits: { ...limits, maxBodyBytes: MAX_ADMIN_BODY_BYTES },
    agentUid,
    refuse,
    routes: adminRoutes(handlers)
  })
}

function notTheOperator(who: string): WarrenError {
  return new WarrenError(ErrorCode.PermissionDenied, `${who} may not use this socket`, {
    hint: 'Run the command outside of any container, as the user that runs the agent, or as root if the agent may look at processes of root.'
  })
}
