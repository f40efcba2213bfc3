export { type AttestedProcess, Attestor, type AttestorOptions, type HeldProcess, type Wanted } from './attestor.ts'
export { listenerUid, type PeerCredentials, peerCredentials, peerUid } from './credentials.ts'
export { effectiveUidOf, type ProcessHandle, processHandle } from './process-handle.ts'
export { ProcessWatch } from './process-watch.ts'
