import type { Mutant } from '../mutant.ts'

/** Of the data plane: how flows begin, count, move and end. */
export const PROXY: readonly Mutant[] = [
  {
    breaks: 'Each reason of a cut has a code of its own: a shutdown is no clean end.',
    file: 'src/proxy/flow/cut.ts',
    find: 'shutdown: 0x57_41_00_04',
    replace: 'shutdown: 0x57_41_00_05',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'An unknown code of the other agent is no clean end.',
    file: 'src/proxy/flow/cut.ts',
    find: "TEXTS.get(code) ?? { kind: 'link'",
    replace: "TEXTS.get(code) ?? { kind: 'done'",
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'The first reason of a cut stays.',
    file: 'src/proxy/flow/flow.ts',
    find: 'if (this.#cut !== undefined) return',
    replace: 'if (this.#cut?.kind === cut.kind) return',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'A source that waits is told the code of the cut.',
    file: 'src/proxy/flow/flow.ts',
    find: 'cut.code ?? (cut.kind',
    replace: '(cut.kind',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'Only the policy makes a cut UNAUTHORIZED.',
    file: 'src/proxy/flow/flow.ts',
    find: "cut.kind === 'policy' ? ErrorCode",
    replace: "cut.kind === 'policy' || cut.kind === 'trust' ? ErrorCode",
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'Datagrams above the rate count as dropped.',
    file: 'src/proxy/flow/flow.ts',
    find: 'return full + gone + rate + oversize + tooLarge',
    replace: 'return full + gone + oversize + tooLarge',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'One flow more than an agent may have is refused.',
    file: 'src/proxy/flow/table.ts',
    find: 'if (this.#flows.size >= flows) throw',
    replace: 'if (this.#flows.size > flows) throw',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'One flow more than a registration may have is refused.',
    file: 'src/proxy/flow/table.ts',
    find: '?? 0) < flowsPerWorkload) continue',
    replace: '?? 0) <= flowsPerWorkload) continue',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks:
      'An agent that stops tells NOT_READY to its own workloads, and to other hosts that the destination is unreachable.',
    file: 'src/proxy/flow/table.ts',
    find: "options.direction === 'inbound' ?",
    replace: "options.direction !== 'inbound' ?",
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'A flow that moved to another instance no longer counts for the first.',
    file: 'src/proxy/flow/table.ts',
    find: 'add(this.#perDestination, charged.destination, -1)',
    replace: "add(this.#perDestination, flow.destination?.registrationId ?? '', -1)",
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'The place of a flow among those of its registration is free when it ends.',
    file: 'src/proxy/flow/table.ts',
    find: 'add(this.#perWorkload, id, -1)',
    replace: 'add(this.#perWorkload, id, charged.workloads.length - 2)',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'The datagrams of a registration are limited together, also after one of its flows has ended.',
    file: 'src/proxy/flow/table.ts',
    find: 'if (this.#perWorkload.has(id)) continue',
    replace: 'if (!this.#perWorkload.has(id)) continue',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'A source has no more connections waiting than pass in a second.',
    file: 'src/proxy/inbound/connect-rate.ts',
    find: 'if (this.#waiting.sizeOf(source) >= this.#perSecond)',
    replace: 'if (this.#waiting.sizeOf(source) >= 1_000)',
    tests: ['test/proxy/connect-rate.test.ts']
  },
  {
    breaks: 'A limit of connections that changes gives no second burst.',
    file: 'src/proxy/inbound/connect-rate.ts',
    find: 'this.#bucket.use(perSecond - left, nowMs)',
    replace: 'this.#bucket.use(0, nowMs)',
    tests: ['test/proxy/connect-rate.test.ts']
  },
  {
    breaks: 'The agent of another host is not taken for that of the host which was asked for.',
    file: 'src/proxy/carriers/identify.ts',
    find: 'if (identity.machine !== machine)',
    replace: "if (identity.machine === '')",
    tests: ['test/proxy/carriers.test.ts']
  },
  {
    breaks: 'A flow ends once, however often that is asked for.',
    file: 'src/proxy/flow/table.ts',
    find: 'if (!this.#flows.delete(flow)) return',
    replace: 'if (!this.#flows.delete(flow) && !flow.isOpen) return',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'A flow that was cut before it was open has failed, and none that was open ended.',
    file: 'src/proxy/flow/table.ts',
    find: 'if (flow.isOpen) this.#metrics',
    replace: 'if (flow.isOpen || code === undefined) this.#metrics',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'The totals count a flow once, however often they are asked for.',
    file: 'src/proxy/flow/table.ts',
    find: 'const totals = this.#past.copy()',
    replace: 'const totals = this.#past',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'The bytes of a flow stay in the totals when it has ended.',
    file: 'src/proxy/flow/table.ts',
    find: '    this.#past.add(flow)',
    replace: '    if (!flow.isOpen) this.#past.add(flow)',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'A flow that is being opened is reviewed as well, so that no change of policy slips through.',
    file: 'src/proxy/flow/table.ts',
    find: 'if (flow.cutBy !== undefined) continue',
    replace: 'if (flow.cutBy !== undefined || !flow.isOpen) continue',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'Each waiter for a flow to leave is woken.',
    file: 'src/proxy/flow/table.ts',
    find: 'this.#waiting ??= Promise.withResolvers<void>()',
    replace: 'this.#waiting = Promise.withResolvers<void>()',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'The name that another agent gives to a flow reaches the log only in the form of an id.',
    file: 'src/proxy/flow/flow-id.ts',
    find: '/^[0-9a-f]{16}$/',
    replace: '/^[0-9a-f]{16}/',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'Bytes to the source and bytes from it are counted apart.',
    file: 'src/proxy/flow/totals.ts',
    find: 'bytes.in += flow.bytesIn',
    replace: 'bytes.in += flow.bytesOut',
    tests: ['test/proxy/flow.test.ts']
  },
  {
    breaks: 'One direction of a flow goes on when the other has ended.',
    file: 'src/proxy/relay/relay.ts',
    find: '!source.isFinished || !destination.isFinished',
    replace: '!source.isFinished && !destination.isFinished',
    tests: ['test/proxy/relay.test.ts']
  },
  {
    breaks: 'The reason for which a flow is cut here goes before what its legs say.',
    file: 'src/proxy/relay/relay.ts',
    find: 'const reason = this.#flow.cutBy ?? cut',
    replace: 'const reason = cut',
    tests: ['test/proxy/relay.test.ts']
  },
  {
    breaks: 'The leg that a flow has left says why the flow is cut.',
    file: 'src/proxy/relay/side.ts',
    find: 'this.#former?.abort(kind)',
    replace: 'this.#former?.close()',
    tests: ['test/proxy/relay.test.ts']
  },
  {
    breaks: 'A direction that has ended has ended on the leg that a flow moves to.',
    file: 'src/proxy/relay/side.ts',
    find: 'leg.start(this.#hasEnded ? undefined : offset)',
    replace: 'leg.start(offset)',
    tests: ['test/proxy/relay.test.ts']
  },
  {
    breaks: 'A flow that moved reads on as there is room.',
    file: 'src/proxy/relay/side.ts',
    find: 'this.#isHeldBack = true',
    replace: 'this.#isHeldBack = this.#swap === undefined',
    tests: ['test/proxy/relay.test.ts']
  },
  {
    breaks: 'An agent that goes on after the end of a direction is cut off.',
    file: 'src/proxy/relay/swap.ts',
    find: 'if (hasEnded || received() > offset) side',
    replace: 'if (received() > offset) side',
    tests: ['test/proxy/swap.test.ts']
  },
  {
    breaks: 'The end of a direction waits for all that is still under way on the former leg.',
    file: 'src/proxy/relay/swap.ts',
    find: 'if (this.#hasFormerEnded) side.ended()',
    replace: 'side.ended()',
    tests: ['test/proxy/late.test.ts']
  },
  {
    breaks: 'The bytes of the new leg wait until the former leg has brought all of its own.',
    file: 'src/proxy/relay/swap.ts',
    find: 'else if (received() === offset) this.#arrive()',
    replace: 'else if (received() <= offset) this.#arrive()',
    tests: ['test/proxy/swap.test.ts']
  },
  {
    breaks: 'A stream that is reset after our own direction has ended has not ended in order.',
    file: 'src/proxy/legs/stream-leg.ts',
    find: 'return !this.#stream.aborted && this.#stream.rstCode === 0',
    replace: 'return !this.#stream.aborted',
    tests: ['test/proxy/duplex-leg.test.ts']
  },
  {
    breaks: 'A stream is reset without an end before, which would make half an answer a whole one.',
    file: 'src/proxy/legs/stream-leg.ts',
    find: 'stream.end = () => stream',
    replace: 'stream.end()',
    tests: ['test/proxy/leg.test.ts']
  },
  {
    breaks: 'A loss after one direction has ended is told.',
    file: 'src/proxy/legs/duplex-leg.ts',
    find: '!this.#stream.readableEnded || !this.#hasFinished',
    replace: '!this.#stream.readableEnded && !this.#hasFinished',
    tests: ['test/proxy/duplex-leg.test.ts']
  },
  {
    breaks: 'A leg that is paused stays paused when its socket is exchanged.',
    file: 'src/proxy/legs/duplex-leg.ts',
    find: 'if (!this.#isPaused) this.#stream.resume()',
    replace: 'this.#stream.resume()',
    tests: ['test/proxy/duplex-leg.test.ts']
  },
  {
    breaks: 'The stream that a flow has left is ended in order.',
    file: 'src/proxy/legs/duplex-leg.ts',
    find: 'if (this.#hasEnded && !stream.writableEnded) {',
    replace: 'if (!stream.writableEnded) {',
    tests: ['test/proxy/swap.test.ts']
  },
  {
    breaks: 'A session has its own budget of waiting bytes.',
    file: 'src/proxy/flow/room.ts',
    find: 'let bytes = session.roomBytes',
    replace: 'let bytes = MAX_WAITING_BYTES',
    tests: ['test/proxy/waiting.test.ts']
  },
  {
    breaks: 'A workload with little waiting has room, whatever others hold.',
    file: 'src/proxy/flow/room.ts',
    find: 'return isWithinReserve || ofAgent',
    replace: 'return ofAgent',
    tests: ['test/proxy/waiting.test.ts']
  },
  {
    breaks: 'The windows of all streams stay within that of their session.',
    file: 'src/proxy/session/stream-windows.ts',
    find: 'Math.min(STREAM_WINDOW_BYTES, share, left)',
    replace: 'Math.min(STREAM_WINDOW_BYTES, left)',
    tests: ['test/proxy/stream-windows.test.ts']
  },
  {
    breaks: 'Pieces that are lent and wait are few, however small.',
    file: 'src/proxy/legs/outflow.ts',
    find: 'this.room.bytes) || this.#lent',
    replace: 'this.room.bytes) && this.#lent',
    tests: ['test/proxy/leg.test.ts']
  },
  {
    breaks: 'Bytes that wait in this process are not delivered.',
    file: 'src/proxy/legs/outflow.ts',
    find: 'Math.max(0, this.#sentBytes - this.#stream.writableLength)',
    replace: 'this.#sentBytes',
    tests: ['test/proxy/leg.test.ts']
  },
  {
    breaks: 'An offset is reached when it is, and not before.',
    file: 'src/proxy/legs/outflow.ts',
    find: 'this.#milestones?.reach(this.deliveredBytes)',
    replace: 'this.#milestones?.reach(this.#sentBytes)',
    tests: ['test/proxy/leg.test.ts']
  },
  {
    breaks: 'A waiter for an offset is called back at that very offset.',
    file: 'src/proxy/legs/milestones.ts',
    find: 'offset <= reached',
    replace: 'offset < reached',
    tests: ['test/proxy/milestones.test.ts']
  },
  {
    breaks: 'The bytes of former flows on a pooled connection are not those of this one.',
    file: 'src/proxy/legs/record-leg.ts',
    find: 'this.#connection.counted.passedBytes - this.#sentBefore',
    replace: 'this.#connection.counted.passedBytes',
    tests: ['test/proxy/record-leg.test.ts']
  },
  {
    breaks: 'A record connection that closes before all has been sent is lost.',
    file: 'src/proxy/legs/record-leg.ts',
    find: 'return this.#isReceived && this.#isSent',
    replace: 'return this.#isReceived',
    tests: ['test/proxy/record-leg.test.ts']
  },
  {
    breaks: 'The reason of a cut is waited for when the record connection is lost first.',
    file: 'src/proxy/legs/record-leg.ts',
    find: 'this.#grace ??= setTimeout(() => this.#fail(LINK_LOST), REASON_GRACE_MS)',
    replace: 'this.#fail(LINK_LOST)',
    tests: ['test/proxy/leg.test.ts']
  },
  {
    breaks: 'A flow that has ended on a pooled connection does not cut the next one there.',
    file: 'src/proxy/legs/record-leg.ts',
    find: 'if (this.#isFree) this.#owner.close()',
    replace: 'if (this.#isClosed) this.#owner.close()',
    tests: ['test/proxy/leg.test.ts']
  },
  {
    breaks: 'A connection that is cut ends with a reset, and never as if all had come.',
    file: 'src/proxy/legs/reset-socket.ts',
    find: 'SO_LINGER, 1, 0)',
    replace: 'SO_LINGER, 0, 0)',
    tests: ['test/proxy/reset-socket.test.ts']
  },
  {
    breaks: 'A preamble of another version than both ends agreed on is not answered.',
    file: 'src/proxy/fastpath/fastpath-acceptor.ts',
    find: 'host !== undefined && host.version === preamble?.version',
    replace: 'host !== undefined',
    tests: ['test/proxy/versions.test.ts']
  },
  {
    breaks: 'Without a common version of the fast path there is none.',
    file: 'src/proxy/tls/versions.ts',
    find: 'isVersionRange(theirs) ? commonVersion(ours, theirs) : undefined',
    replace: 'ours.max',
    tests: ['test/proxy/versions.test.ts']
  },
  {
    breaks: 'The version of another program cannot command a terminal.',
    file: 'src/core/protocols.ts',
    find: "SOFTWARE_VERSION.test(text) ? text : ''",
    replace: 'text',
    tests: ['test/core/protocols.test.ts', 'test/registry/versions.test.ts']
  }
]
