export {
  type BindUnixOptions,
  bindUdp,
  bindUnix,
  type ClientLife,
  type DatagramFlow,
  DatagramForwarder,
  type DatagramForwarderOptions,
  DropReport,
  type LocalDatagrams,
  MAX_CLIENTS,
  placeOf
} from './datagram/index.ts'
export {
  type Dns,
  type DnsAnswer,
  type DnsQuestion,
  type DnsRecord,
  type DnsServerOptions,
  ExtendedError,
  Rcode,
  serveDns,
  txtStrings
} from './dns/index.ts'
export { type Endpoint, formatEndpoint, parseEndpoint } from './endpoint.ts'
export { type HeldSockets, holdSockets } from './hold.ts'
export { isWithoutFamily, type Listening, listenAt, listenAtBoth } from './listen-at.ts'
export { loadPassing, type PassedSocket, type PassingCalls, takePassed } from './passing/index.ts'
export { type ListenerSockets, passedSockets, socketsAt } from './sockets.ts'
export {
  type Decoded,
  decodeGreeting,
  decodeRequest,
  encodeChoice,
  encodeReply,
  MAX_FRAME_BYTES,
  SOCKS_VERSION,
  SocksReply,
  type SocksRequest
} from './socks5.ts'
export { decodeSocksDatagram, encodeSocksDatagram, type SocksDatagram } from './socks5-datagram.ts'
