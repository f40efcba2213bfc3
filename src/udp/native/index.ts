export { linuxCalls } from './calls.ts'
export { forceReceiveBuffer } from './force-buffer.ts'
export { NativeUdp } from './native.ts'
export { NativeEndpoint } from './native-endpoint.ts'
