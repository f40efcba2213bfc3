export {
  type AttestedProcess,
  Attestor,
  type AttestorOptions,
  type HeldProcess,
  type ProcessFacts,
  type Wanted
} from './attestor.ts'
export type { ContainerFacts } from './containers/index.ts'
export { type Listener, listenerOf, type PeerCredentials, peerCredentials, peerUser } from './credentials.ts'
export { DirectoryService } from './directory-service.ts'
export { executableOf } from './executable.ts'
export {
  callerOfLoopback,
  callerOfUnix,
  callersBeside,
  type IsBeside,
  senderOfLoopback,
  type UidOfCaller,
  type UidOfSender
} from './local-caller.ts'
export { pathInside } from './path-inside.ts'
export { type AskPort, type PortHolder, type PortQuestion, portLookup } from './ports/index.ts'
export { descriptorOfHandle, effectiveUidOf, heldProcess, type ProcessHandle, processHandle } from './process-handle.ts'
export { ProcessWatch } from './process-watch.ts'
export { processReader } from './select.ts'
export { type FileId, type FoundSocket, findOwnSocket, findSocket } from './socket-path.ts'
export { UserDatabase } from './user-database.ts'
export { accountOf, HOST_VIEW, type LocalUser, type ProcessView, sameUser, unknownView } from './view.ts'
