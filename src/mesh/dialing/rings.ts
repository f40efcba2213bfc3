import { createHash } from 'node:crypto'
import type { PeerKey } from '../../identity/index.ts'
import { FULL_MESH_MEMBERS } from '../limits.ts'

/** Positions in one SHA-512: more rings than any mesh needs. */
const MAX_RINGS = 16
/** Unreachable hosts between this one and a neighbour that are dialled all the same: they may be the other half of the mesh. */
const MAX_RETRIED = 3

/** A host that a permanent connection may lead to. */
export interface RingMember {
  readonly peer: PeerKey
  readonly positions: Uint32Array
  /** It is connected, or no dial has failed since it was. */
  readonly isReachable: boolean
}

/** The places of a host on the rings. Equal on every host that computes them. */
export function ringPositions(peer: PeerKey): Uint32Array {
  const digest = createHash('sha512').update(`warren-ring-v1\0${peer}`).digest()
  return Uint32Array.from({ length: MAX_RINGS }, (_, ring) => digest.readUInt32BE(4 * ring))
}

/** The rings of a mesh of so many hosts: each adds two neighbours. 6 up to 256 hosts, 8 at 1,000, 10 at 4,000. */
export function ringCount(hosts: number, fullMeshMembers = FULL_MESH_MEMBERS): number {
  const least = Math.ceil(Math.log2(Math.max(2, fullMeshMembers)))
  return Math.min(MAX_RINGS, Math.max(least, Math.ceil(Math.log2(Math.max(2, hosts))) - 2))
}

/**
 * The hosts that this one keeps connections to: its two neighbours on each ring, and one host that only `salt` decides. Pure.
 *
 * Both ends of an edge compute it, so nothing is negotiated. Each ring alone connects all hosts; a host that joins or leaves
 * changes two edges of each. An unreachable neighbour is retried, and the next reachable one takes its part meanwhile.
 */
export function neighboursOf(
  self: PeerKey,
  members: readonly RingMember[],
  salt: number,
  fullMeshMembers = FULL_MESH_MEMBERS
): Set<PeerKey> {
  const own = ringPositions(self)
  const neighbours = new Set<PeerKey>()
  const others = members.filter(({ peer }) => peer !== self)
  for (let ring = 0; ring < ringCount(others.length + 1, fullMeshMembers); ring += 1) {
    const from = own[ring] ?? 0
    addNeighbours(neighbours, others, ({ positions }) => ((positions[ring] ?? 0) - from) >>> 0)
    addNeighbours(neighbours, others, ({ positions }) => (from - (positions[ring] ?? 0)) >>> 0)
  }
  const random = nearest(others, ({ positions }) => mix((positions[0] ?? 0) ^ salt))
  if (random !== undefined) neighbours.add(random.peer)
  return neighbours
}

function addNeighbours(
  neighbours: Set<PeerKey>,
  members: readonly RingMember[],
  distance: (member: RingMember) => number
): void {
  const reachable = nearest(members, distance)
  const limit = reachable === undefined ? Number.POSITIVE_INFINITY : distance(reachable)
  if (reachable !== undefined) neighbours.add(reachable.peer)
  const retried = members.filter(member => !member.isReachable && distance(member) < limit)
  retried.sort((a, b) => distance(a) - distance(b))
  for (const { peer } of retried.slice(0, MAX_RETRIED)) neighbours.add(peer)
}

function nearest(members: readonly RingMember[], distance: (member: RingMember) => number): RingMember | undefined {
  let best: RingMember | undefined
  let bestDistance = Number.POSITIVE_INFINITY
  for (const member of members) {
    if (!member.isReachable) continue
    const here = distance(member)
    if (here < bestDistance) {
      best = member
      bestDistance = here
    }
  }
  return best
}

// The finalizer of MurmurHash3: https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp
function mix(value: number): number {
  let bits = value
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return (bits ^ (bits >>> 16)) >>> 0
}
