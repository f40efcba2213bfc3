export { createMesh } from './create-mesh.ts'
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
