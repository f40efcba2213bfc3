export {
  type Answer,
  type AnswerFormat,
  type AnswerKind,
  kindOf,
  type Statement,
  signedBytes,
  wireKindOf
} from './answer.ts'
export { QUESTION_MS } from './gatherer.ts'
export { type Asked, Gathering, type GatheringPorts } from './gathering.ts'
export { gatherBy, gatherOnMesh, type MeshGatheringDeps } from './mesh-gathering.ts'
