export { exposeUnixDatagrams } from './expose-unix.ts'
export { DatagramForwarder } from './forwarder.ts'
export { relayLines, sendLines, sendPatiently, writeLine } from './lines.ts'
export { bindUnix } from './unix.ts'
