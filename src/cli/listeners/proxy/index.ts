export { callersAt, ownUid } from './callers.ts'
export { type MeshProxyOptions, meshProxy } from './mesh-proxy.ts'
export { LocalProxy, type LocalProxyOptions } from './proxy.ts'
