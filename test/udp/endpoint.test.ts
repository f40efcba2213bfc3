import { linuxCalls } from '../../src/udp/native/calls.ts'
import { NativeUdp } from '../../src/udp/native/native.ts'
import { NativeEndpoint } from '../../src/udp/native/native-endpoint.ts'
import { NodeEndpoint } from '../../src/udp/node-endpoint.ts'
import { type EndpointKind, udpCompliance } from './support/udp-compliance.ts'

const isLinux = process.platform === 'linux'
const native = (canSegment: boolean): Omit<EndpointKind, 'name'> => {
  if (!isLinux) return { skip: 'for Linux', over: socket => new NodeEndpoint(socket) }
  const shared = new NativeUdp(linuxCalls(), canSegment)
  return { over: socket => new NativeEndpoint(shared, socket) }
}
const KINDS: readonly EndpointKind[] = [
  { name: 'by node:dgram', over: socket => new NodeEndpoint(socket) },
  { name: 'by sendmmsg and recvmmsg', ...native(false) },
  { name: 'by messages that the kernel cuts', ...native(true) }
]

for (const kind of KINDS) udpCompliance(kind)
