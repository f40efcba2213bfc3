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
  RelayedStream,
  RequestHandler,
  RequestOptions,
  StreamHandler
} from './types.ts'
