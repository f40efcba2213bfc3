import { createHash } from 'node:crypto'
import { type PeerKey, peerKeyOf } from '../../src/identity/index.ts'
import { ringCount, ringPositions } from '../../src/mesh/dialing/rings.ts'
import { FULL_MESH_MEMBERS } from '../../src/mesh/limits.ts'

/** Neighbours that a message is forwarded to: `D` of src/mesh/gossip/gossip-service.ts. */
const FAN_OUT = 4

export interface Graph {
  readonly peers: readonly PeerKey[]
  readonly isFull: boolean
  /** Permanent connections of each host. */
  readonly links: ReadonlyArray<readonly number[]>
  /** Those among them over which gossip of others is forwarded. */
  readonly forwards: ReadonlyArray<readonly number[]>
}

/** The connections of a mesh in which every host knows all others: the rule of `neighboursOf`, by sorting each ring once. */
export function graphOf(hosts: number, random: () => number): Graph {
  const peers = Array.from({ length: hosts }, (_, at) => peerKeyOf(createHash('sha256').update(`host ${at}`).digest()))
  const isFull = hosts - 1 < FULL_MESH_MEMBERS
  const links = peers.map(() => new Set<number>())
  const link = (a: number, b: number): void => {
    if (a === b) return
    links[a]?.add(b)
    links[b]?.add(a)
  }
  if (isFull) for (let a = 0; a < hosts; a += 1) for (let b = 0; b < a; b += 1) link(a, b)
  else {
    const positions = peers.map(ringPositions)
    for (let ring = 0; ring < ringCount(hosts); ring += 1) {
      const order = peers.map((_, at) => at).sort((a, b) => (positions[a]?.[ring] ?? 0) - (positions[b]?.[ring] ?? 0))
      for (const [at, host] of order.entries()) link(host, order[(at + 1) % hosts] ?? host)
    }
    for (let host = 0; host < hosts; host += 1) link(host, Math.floor(random() * hosts))
  }
  const forwards = peers.map(() => new Set<number>())
  for (const [host, own] of forwards.entries()) {
    const others = [...(links[host] ?? [])]
    while (own.size < FAN_OUT && others.length > 0) {
      const [other] = others.splice(Math.floor(random() * others.length), 1)
      if (other === undefined) break
      own.add(other)
      forwards[other]?.add(host)
    }
  }
  return { peers, isFull, links: links.map(all => [...all]), forwards: forwards.map(all => [...all]) }
}
