import type { Mutant } from '../mutant.ts'

/** What hosts agree by: whom they admit, whom they hide, and which policy they follow. */
export const CLUSTER: readonly Mutant[] = [
  {
    breaks: 'A host is admitted by its own chain, not by that of another.',
    file: 'src/mesh/admission/dialogue.ts',
    find: 'if (verdict.peer !== (session.peer satisfies PeerKey)) {',
    replace: "if (verdict.machine === ('' satisfies PeerKey | '')) {",
    tests: ['test/sim/cluster.test.ts']
  },
  {
    breaks: 'Nobody is hidden by the word of another.',
    file: 'src/cluster/failure/detector.ts',
    find: 'if (hasRoom && !isFresh && !this.#suspects.has(peer)) void this.check(peer)',
    replace: "if (hasRoom && !isFresh) this.#deps.onSuspicion(peer, true, 'another says so')",
    tests: ['test/sim/cluster.test.ts']
  },
  {
    breaks: 'The connections of an evicted host end.',
    file: 'src/cluster/evictions.ts',
    find: 'for (const peer of this.#deps.connected()) this.checkPeer(peer)',
    replace: 'this.#deps.connected()',
    tests: ['test/sim/cluster.test.ts']
  },
  {
    breaks: 'A policy is on disk before it is in force.',
    file: 'src/cluster/policy-service.ts',
    find: 'this.#deps.save(candidate.signed)',
    replace: 'void candidate.signed',
    tests: ['test/sim/cluster.test.ts']
  }
]
