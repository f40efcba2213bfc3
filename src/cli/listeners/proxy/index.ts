export { destinationOf, hostOf } from './names.ts'
export { LocalProxy, type LocalProxyOptions } from './proxy.ts'
