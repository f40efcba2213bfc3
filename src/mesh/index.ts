export { createMesh } from './mesh.ts'
export type {
  AdmissionVerdict,
  GossipHandler,
  GossipVerdict,
  HandleOptions,
  Mesh,
  MeshOptions,
  MeshProtocol,
  MeshTopic,
  RequestHandler,
  RequestOptions
} from './types.ts'
