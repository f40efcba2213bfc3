import './require-node.ts'

export { ErrorCode, WarrenError } from '../core/index.ts'
export { AgentClient, type AgentClientOptions, sharedClient } from './agent-client.ts'
export type { CallOptions, Calls } from './calls.ts'
export {
  type ConnectDatagramOptions,
  type ConnectOptions,
  type ConnectStep,
  connect,
  type MeshSocket,
  preflight,
  type Strategy
} from './connect.ts'
export { type ConnectionEnd, type ConnectionEndOptions, connectionEnd } from './connection-end.ts'
export { type ConnectionOptions, createConnection, MeshConnection } from './create-connection.ts'
export { MeshDatagramSocket } from './datagram-socket.ts'
export { defaultSource } from './default-source.ts'
export { type ForwardOptions, forward, LocalForward } from './forward.ts'
export { MeshHttpAgent } from './http-agent.ts'
export {
  type ConnectionListener,
  type DatagramListener,
  type ListenDatagramOptions,
  type ListenOptions,
  listen,
  MeshServer
} from './listen.ts'
export { type Peer, readHello } from './peer.ts'
export { register } from './register.ts'
export type { RegisterOptions, Registration, RegistrationEnd, TargetOption } from './registration.ts'
export { agentDir, type Environment, runtimeDir } from './runtime-dir.ts'
