export type { Caller } from './caller.ts'
export { type Explainer, explainHere } from './explain/here.ts'
export type { AdminHandlers, SpiffeHandlers, SpiffeSocketHandlers, WorkloadHandlers } from './handlers.ts'
export { LOCAL_LIMITS, type LocalLimits } from './limits.ts'
export { adminRoutes, type Routes, workloadRoutes } from './routes.ts'
export { type LocalServer, type LocalServerOptions, serveLocal } from './serve-local.ts'
export {
  adminHandlers,
  type KnownHost,
  memberViews,
  ServiceList,
  spiffeSocketHandlers,
  workloadHandlers
} from './services/index.ts'
export { bindSocket, ensureRuntimeDir } from './socket-path.ts'
export { type AdminApiOptions, type ApiOptions, serveAdminApi, serveWorkloadApi } from './sockets.ts'
export { serveSpiffeApi, spiffeRoutes } from './spiffe.ts'
