export { PacketChannel } from './channel.ts'
export { MAX_PATH_DATAGRAM_BYTES } from './format.ts'
export { MET_MS, type Seeker } from './path-finder.ts'
export { type Oversize, PacketPort, type Remote } from './port.ts'
