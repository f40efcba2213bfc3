export { MAX_MESSAGE_BYTES, signedBytes } from './answer.ts'
export { type Asked, Gathering, type GatheringPorts } from './gathering.ts'
export { gatherOnMesh } from './mesh-gathering.ts'
