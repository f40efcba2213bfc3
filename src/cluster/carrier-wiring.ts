import type { Duplex } from 'node:stream'
import type { PeerKey } from '../identity/index.ts'
import type { Mesh, PortSharer } from '../mesh/index.ts'
import { wireReverse } from './reverse-wiring.ts'

/** The part of the data plane that receives from the mesh. */
export interface CarrierEnds {
  readonly connectBack: (peer: PeerKey, request: Uint8Array) => number
  readonly acceptCarrier: (stream: Duplex, peer: PeerKey, via?: string) => void
  readonly atMeshPort: PortSharer
}

/** Hands the streams, connections and requests of other hosts to the data plane. Call it before the mesh starts. */
export function wireCarriers(mesh: Mesh, { connectBack, acceptCarrier, atMeshPort }: CarrierEnds): void {
  wireReverse(mesh, connectBack)
  mesh.onStream((stream, peer, via) => acceptCarrier(stream, peer, via))
  mesh.sharePort(atMeshPort)
}
