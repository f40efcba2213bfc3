import type { Duplex } from 'node:stream'
import type { PeerKey } from '../identity/index.ts'
import type { Mesh, PortSharer } from '../mesh/index.ts'
import { type RelayEnds, wireRelays } from './relay-wiring.ts'
import { wireReverse } from './reverse-wiring.ts'

/** The part of the data plane that receives from the mesh. */
export interface CarrierEnds extends RelayEnds {
  readonly connectBack: (peer: PeerKey, request: Uint8Array) => number
  readonly acceptCarrier: (stream: Duplex, peer: PeerKey, via?: string) => void
  readonly atMeshPort: PortSharer
}

/** Hands the streams, connections and requests of other hosts to the data plane. Call it before the mesh starts. */
export function wireCarriers(mesh: Mesh, ends: CarrierEnds): void {
  const { connectBack, acceptCarrier, atMeshPort } = ends
  wireReverse(mesh, connectBack)
  wireRelays(mesh, ends)
  mesh.onStream((stream, peer, via) => acceptCarrier(stream, peer, via))
  mesh.sharePort(atMeshPort)
}
