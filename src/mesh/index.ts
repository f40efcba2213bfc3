export { createMesh } from './create-mesh.ts'
export { meshEnd } from './mesh-end.ts'
export type {
  AdmissionVerdict,
  GossipHandler,
  GossipVerdict,
  HandleOptions,
  Mesh,
  MeshOptions,
  MeshProtocol,
  MeshTopic,
  PortSharer,
  RelayedStream,
  RequestHandler,
  RequestOptions,
  StreamHandler
} from './types.ts'
