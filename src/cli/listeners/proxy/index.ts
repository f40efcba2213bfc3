export { callersAt, ownUid, sendersHere } from './callers.ts'
export { type MeshProxyOptions, meshProxy } from './mesh-proxy.ts'
export { destinationOf } from './names.ts'
export { LocalProxy, type LocalProxyOptions } from './proxy.ts'
