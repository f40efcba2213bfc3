import type { Mesh, PortSharer, StreamHandler } from '../mesh/index.ts'
import { type PunchServer, wirePunch } from './punch-wiring.ts'
import { type RelayEnds, wireRelays } from './relay-wiring.ts'
import { type ReverseServer, wireReverse } from './reverse-wiring.ts'

/** The parts of the data plane that serve other members. */
export interface CarrierServer extends PunchServer, RelayEnds, ReverseServer {
  readonly acceptCarrier: StreamHandler
  readonly atMeshPort: PortSharer
}

/** Serves the carriers of other members. Call it before the mesh starts, so that no early peer finds a protocol missing. */
export function wireCarriers(mesh: Mesh, server: CarrierServer): void {
  wireReverse(mesh, server)
  wirePunch(mesh, server)
  wireRelays(mesh, server)
  mesh.onStream((stream, peer, via) => server.acceptCarrier(stream, peer, via))
  mesh.sharePort(server.atMeshPort)
}
