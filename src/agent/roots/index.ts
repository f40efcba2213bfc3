export { RootRotation, type RootStatus } from './root-rotation.ts'
export { TrustService } from './trust-service.ts'
export { askForTrust, wireTrust } from './wiring.ts'
