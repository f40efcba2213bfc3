export { PacketChannel } from './channel.ts'
export { PacketPort, type Remote } from './port.ts'
