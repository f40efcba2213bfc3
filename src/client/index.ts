export { ErrorCode, WarrenError } from '../core/index.ts'
export { AgentClient, type AgentClientOptions, sharedClient } from './agent-client.ts'
export { type ConnectOptions, connect, type MeshSocket } from './connect.ts'
export { defaultSource } from './default-source.ts'
export { MeshHttpAgent } from './http-agent.ts'
export { type ConnectionListener, type ListenOptions, listen, MeshServer } from './listen.ts'
export { type Peer, readHello } from './peer.ts'
export {
  type RegisterOptions,
  type Registration,
  type RegistrationEnd,
  register,
  type TargetOption
} from './register.ts'
export { agentDir, type Environment, runtimeDir } from './runtime-dir.ts'
