import type { Mutant } from '../mutant.ts'

/** Of the registry: what is newer, how long it lives, and what of it is believed. */
export const REGISTRY: readonly Mutant[] = [
  {
    breaks: 'A head that is handed from host to host lives no longer for that.',
    file: 'src/registry/lease.ts',
    find: 'return Math.min(byReceipt, byIssue)',
    replace: 'return byReceipt',
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'A wall clock that is set back lengthens no lease.',
    file: 'src/registry/lease.ts',
    find: 'return Math.min(byReceipt, byIssue)',
    replace: 'return byIssue',
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'A lease has ended at the very instant of its end.',
    file: 'src/registry/tick.ts',
    find: 'entry.receivedMonotonicMs, now) <= 0) {',
    replace: 'entry.receivedMonotonicMs, now) < 0) {',
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'A state whose lease has ended does not come back.',
    file: 'src/registry/tick.ts',
    find: "drop(state, entry.owner, 'expired', true)",
    replace: "drop(state, entry.owner, 'expired', false)",
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'An owner ends at the very instant at which its certificate does.',
    file: 'src/registry/tick.ts',
    find: 'entry.identity.notAfterMs <= now.wallMs',
    replace: 'entry.identity.notAfterMs < now.wallMs',
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'A host that is admitted again is heard again with the very state that it had.',
    file: 'src/registry/tick.ts',
    find: "drop(state, entry.owner, 'revoked', false)",
    replace: "drop(state, entry.owner, 'revoked', true)",
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'A greater epoch is newer, however small its seq.',
    file: 'src/registry/head.ts',
    find: 'if (a.epoch !== b.epoch) return',
    replace: 'if (a.epoch !== b.epoch && a.seq <= b.seq) return',
    tests: ['test/registry/own.test.ts']
  },
  {
    breaks: 'Two heads of one seq are equivocation, also if their sets are equal.',
    file: 'src/registry/verify-head.ts',
    find: 'if (held.sealed.digest === sealed.digest) return',
    replace: 'if (held.sealed.head.root === head.root) return',
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'A quarantine ends with a greater epoch, and not for one that is the same.',
    file: 'src/registry/verify-head.ts',
    find: 'if (!served || head.epoch <= quarantine.epoch) return',
    replace: 'if (!served || head.epoch < quarantine.epoch) return',
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'A quarantine lasts its time, whatever epoch its owner comes with.',
    file: 'src/registry/verify-head.ts',
    find: 'if (!served || head.epoch <= quarantine.epoch) return',
    replace: 'if (head.epoch <= quarantine.epoch) return',
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'The clock of another host may be ahead within the skew.',
    file: 'src/registry/verify-head.ts',
    find: 'head.issuedAtMs > now.wallMs + MAX_SKEW_MS',
    replace: 'head.issuedAtMs > now.wallMs',
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'An owner that changes its set goes on from what it last said of it.',
    file: 'src/registry/verify-head.ts',
    find: 'head.recordSeq <= before.seq',
    replace: 'head.recordSeq <= before.recordSeq',
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'A mark is on disk before anything follows from a new set.',
    file: 'src/registry/apply.ts',
    find: "if (setChanged || announced || head.acks === 'wanted') {",
    replace: 'if (announced) {',
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'A suspicion of an owner outlives the next word of its lease.',
    file: 'src/registry/apply.ts',
    find: 'suspect: held?.suspect ?? false',
    replace: 'suspect: false',
    tests: ['test/registry/own.test.ts']
  },
  {
    breaks: 'The bytes of a set that was replaced no longer count.',
    file: 'src/registry/apply.ts',
    find: 'state.totalBytes += set.bytes - before.bytes',
    replace: 'state.totalBytes += set.bytes',
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'One owner more than there may be is not taken.',
    file: 'src/registry/apply.ts',
    find: 'state.entries.size >= maxOwners',
    replace: 'state.entries.size > maxOwners',
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'A set that changes within the room for all records is taken.',
    file: 'src/registry/apply.ts',
    find: 'state.totalBytes + set.bytes - (held?.set.bytes ?? 0)',
    replace: 'state.totalBytes + set.bytes',
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'The high-water mark of an owner that is held stays, however many there are.',
    file: 'src/registry/apply.ts',
    find: '    if (state.entries.has(owner)) continue',
    replace: '    if (!state.entries.has(owner) && state.highWaterMarks.size === 0) continue',
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'A quarantine holds against the newest epoch that its owner was heard with.',
    file: 'src/registry/apply.ts',
    find: 'held.sealed.head.epoch > epoch ? held.sealed.head.epoch : epoch',
    replace: 'held.sealed.head.epoch < epoch ? held.sealed.head.epoch : epoch',
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'An owner that is gone is no longer in the digest.',
    file: 'src/registry/apply.ts',
    find: 'state.digests.delete(owner, entry.ownerKey)',
    replace: 'state.clocks.delete(owner)',
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'An owner that is gone is no longer among the contents.',
    file: 'src/registry/apply.ts',
    find: 'state.contents.delete(owner, entry.ownerKey)',
    replace: 'state.clocks.delete(owner)',
    tests: ['test/registry/content-sync.test.ts']
  },
  {
    breaks: 'Contents are equal if nothing but a renewal differs.',
    file: 'src/registry/content-table.ts',
    find: 'seq: head.recordSeq,',
    replace: 'seq: head.seq,',
    tests: ['test/registry/content-sync.test.ts']
  },
  {
    breaks: 'A renewal counts as newer up to half a cycle of its byte.',
    file: 'src/registry/content.ts',
    find: 'ahead > 0 && ahead < CYCLE / 2',
    replace: 'ahead > 0',
    tests: ['test/registry/content-sync.test.ts']
  },
  {
    breaks: 'A host hands on no renewal whose lease has ended.',
    file: 'src/registry/content.ts',
    find: 'entry.receivedMonotonicMs, now) > 0',
    replace: 'entry.receivedMonotonicMs, now) > -1_000_000',
    tests: ['test/registry/content-sync.test.ts']
  },
  {
    breaks: 'A host that is suspected and silent for long keeps no change waiting.',
    file: 'src/registry/replication.ts',
    find: 'receivedMonotonicMs) >= SILENT_MS',
    replace: 'receivedMonotonicMs) < SILENT_MS',
    tests: ['test/registry/content-sync.test.ts']
  },
  {
    breaks: 'A host whose last renewal is old is waited for when its suspicion is not.',
    file: 'src/registry/replication.ts',
    find: 'Math.max(suspectMonotonicMs, receivedMonotonicMs)',
    replace: 'receivedMonotonicMs',
    tests: ['test/registry/content-sync.test.ts']
  },
  {
    breaks: 'A host that rests asks often again when a peer that asks holds something else.',
    file: 'src/registry/answer.ts',
    find: 'if (owners.length > 0) onDifference',
    replace: 'if (owners.length < 0) onDifference',
    tests: ['test/registry/sync-pace.test.ts']
  },
  {
    breaks:
      'The records of an owner that is gone are no longer found by name, also after it has come back without them.',
    file: 'src/registry/apply.ts',
    find: 'for (const record of removed) state.names.remove(owner, record)',
    replace: 'for (const record of added) state.names.remove(owner, record)',
    tests: ['test/registry/own.test.ts']
  },
  {
    breaks: 'The records of a bucket are in the order of their ids, so that the root of a set is one.',
    file: 'src/registry/record-set.ts',
    find: 'return a.id < b.id ? -1 : 1',
    replace: 'return a.bytes.length < b.bytes.length ? -1 : 1',
    tests: ['test/registry/record-set.test.ts']
  },
  {
    breaks: 'The size of a set stays right when a bucket is replaced.',
    file: 'src/registry/record-set.ts',
    find: 'bytes += bucket.bytes - old.bytes',
    replace: 'bytes += bucket.bytes',
    tests: ['test/registry/record-set.test.ts']
  },
  {
    breaks: 'A record that changed is removed as it was and added as it is.',
    file: 'src/registry/record-set.ts',
    find: 'if (old !== undefined) difference.removed.push(old)',
    replace: 'if (old === undefined) continue',
    tests: ['test/registry/record-set.test.ts']
  },
  {
    breaks: 'An owner that puts a record into the wrong bucket is found out.',
    file: 'src/registry/assembly.ts',
    find: 'bucketNumber(id) !== number',
    replace: 'bucketNumber(id) < 0',
    tests: ['test/registry/commitment.test.ts']
  },
  {
    breaks: 'A set that comes by buckets is bounded while it comes.',
    file: 'src/registry/assembly.ts',
    find: 'if (this.#bytes > this.#limits.maxSetBytes) throw',
    replace: 'if (bucket.bytes > this.#limits.maxSetBytes) throw',
    tests: ['test/registry/commitment.test.ts']
  },
  {
    breaks: 'A head counts the records of its set.',
    file: 'src/registry/validate.ts',
    find: 'if (set.count !== head.count) {',
    replace: 'if (set.count > head.count) {',
    tests: ['test/registry/commitment.test.ts']
  },
  {
    breaks: 'Both counters of a head are bounded, so that the store can hold them.',
    file: 'src/registry/head.ts',
    find: 'wire.epoch > MAX_COUNTER || wire.seq > MAX_COUNTER',
    replace: 'wire.epoch > MAX_COUNTER && wire.seq > MAX_COUNTER',
    tests: ['test/registry/commitment.test.ts']
  },
  {
    breaks: 'No head asks for a lease above the longest.',
    file: 'src/registry/head.ts',
    find: ' || wire.leaseMs > MAX_LEASE_MS)',
    replace: ')',
    tests: ['test/registry/commitment.test.ts']
  },
  {
    breaks: 'A head of another trust domain is refused.',
    file: 'src/registry/head.ts',
    find: 'if (wire.trustDomain !== trustDomain) throw',
    replace: "if (wire.trustDomain === '') throw",
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'A host announces workloads of its own machine only.',
    file: 'src/registry/record.ts',
    find: 'if (address.machine !== scope.machine) throw',
    replace: "if (address.machine === '') throw",
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'A workload whose health is unknown is not taken for one that can be used.',
    file: 'src/registry/record.ts',
    find: 'if (health === registryPb.Health.PASSING) return',
    replace: 'if (health !== registryPb.Health.FAILING && health !== registryPb.Health.DRAINING) return',
    tests: ['test/registry/commitment.test.ts']
  },
  {
    breaks: 'A host that restarts at the very epoch on its disk takes a greater one.',
    file: 'src/registry/state.ts',
    find: 'if (seen >= epoch) epoch = seen + 1n',
    replace: 'if (seen > epoch) epoch = seen + 1n',
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'A host with an old disk outranks its own past.',
    file: 'src/registry/own.ts',
    find: 'own.epoch = epoch + 1n',
    replace: 'own.epoch = epoch',
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'The mere word of a peer raises our epoch by a day at the most.',
    file: 'src/registry/own.ts',
    find: 'if (epoch <= BigInt(Math.trunc(now.wallMs + MAX_EPOCH_LEAD_MS))) return',
    replace: 'if (epoch <= BigInt(Math.trunc(now.wallMs + 2 * MAX_EPOCH_LEAD_MS))) return',
    tests: ['test/registry/own.test.ts']
  },
  {
    breaks: 'A change of the set is said with a record_seq of its own.',
    file: 'src/registry/own.ts',
    find: 'change !== undefined || newEpoch || before',
    replace: 'newEpoch || before',
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'A message is handed on unless its owner itself sends it to everybody.',
    file: 'src/registry/gossip.ts',
    find: 'sentToAll: sentToAll && from === owner }',
    replace: 'sentToAll }',
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'A neighbour that sends forgeries is no longer listened to.',
    file: 'src/registry/gossip.ts',
    find: ", now.monotonicMs) !== 'allowed') {",
    replace: ", now.monotonicMs) === 'first-refused') {",
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'A single host whose clock disagrees says nothing of our clock.',
    file: 'src/registry/clock-check.ts',
    find: 'disagreeing >= 2 &&',
    replace: 'disagreeing >= 1 &&',
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'An old head that somebody hands on says nothing of our clock.',
    file: 'src/registry/clock-check.ts',
    find: "(!['expired', 'late'].includes(reason) || from !== owner)",
    replace: "!['expired', 'late'].includes(reason)",
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'One head that is too old is no difference of clocks: its host may have stood still.',
    file: 'src/registry/clock-check.ts',
    find: 'one !== undefined && one.lastMs - one.sinceMs >= LASTING_MS',
    replace: 'one !== undefined',
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'A quorum is more than half of all hosts.',
    file: 'src/registry/replication.ts',
    find: 'acked + 1 > (required + 1) / 2',
    replace: 'acked + 1 >= (required + 1) / 2',
    tests: ['test/registry/own.test.ts']
  },
  {
    breaks: 'An acknowledgement of an earlier run is not one of this run.',
    file: 'src/registry/handle-ack.ts',
    find: 'epoch < own.firstEpoch || seq > own.seq',
    replace: 'seq > own.seq',
    tests: ['test/registry/own.test.ts']
  },
  {
    breaks: 'An owner in quarantine is told the epoch that it must exceed.',
    file: 'src/registry/request-missing.ts',
    find: 'said.epoch <= quarantine.epoch',
    replace: 'said.epoch < quarantine.epoch',
    tests: ['test/registry/own.test.ts']
  },
  {
    breaks: 'The buckets of a set that has changed since are not taken for those that were asked for.',
    file: 'src/registry/answer.ts',
    find: ' && head.recordSeq === request.recordSeq) {',
    replace: ') {',
    tests: ['test/registry/sync.test.ts']
  },
  {
    breaks: 'A host hands on no state whose lease has ended.',
    file: 'src/registry/answer.ts',
    find: 'entry.receivedMonotonicMs, now) > 0',
    replace: 'entry.receivedMonotonicMs, now) > -1_000_000',
    tests: ['test/registry/lifetime.test.ts']
  },
  {
    breaks: 'A peer that gives a state twice, or one that was not asked for, breaks the protocol.',
    file: 'src/registry/sync-session.ts',
    find: 'if (at <= answered) throw',
    replace: 'if (at < answered) throw',
    tests: ['test/registry/sync.test.ts']
  },
  {
    breaks: 'A certificate that does not exist is not asked for without end.',
    file: 'src/registry/renewal.ts',
    find: 'known.tries < MAX_TRIES',
    replace: 'known.tries < Number.MAX_SAFE_INTEGER',
    tests: ['test/registry/sync.test.ts'],
    hangs: true
  },
  {
    breaks: 'A record beyond the scopes of its host is not routed to.',
    file: 'src/registry/view.ts',
    find: 'entry !== undefined && mayRun(entry, value)',
    replace: 'entry !== undefined',
    tests: ['test/registry/gossip.test.ts']
  },
  {
    breaks: 'A newer acknowledgement is sent in place of one that failed.',
    file: 'src/registry/ack-queue.ts',
    find: 'const newest = delivery.next ?? bytes',
    replace: 'const newest = bytes',
    tests: ['test/registry/ack-queue.test.ts']
  }
]
