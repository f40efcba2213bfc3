export { exposeUnixDatagrams } from './expose-unix.ts'
export { relayLines, sendLines, sendPatiently, writeLine } from './lines.ts'
export { OwnDatagrams } from './own-datagrams.ts'
