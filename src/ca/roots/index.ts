export { askForTrust, TrustService, wireTrust } from '../../cluster/index.ts'
export { RootRotation, type RootStatus } from './root-rotation.ts'
