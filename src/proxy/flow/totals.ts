import type { DropReason } from './drops.ts'
import type { Flow } from './flow.ts'

/** Sums over flows. Bytes and datagrams go "out" from sources to destinations, and "in" the other way. */
export class FlowTotals {
  readonly bytes = { tcp: { in: 0, out: 0 }, udp: { in: 0, out: 0 } }
  readonly datagrams = { in: 0, out: 0 }
  readonly drops: Record<DropReason, number> = { full: 0, gone: 0, 'too large': 0, oversize: 0, rate: 0 }
  /** Streams only, now: bytes that wait in this process for ends that do not accept them. */
  waitingBytes = 0
  /** Number of present flows. */
  readonly flows = {
    outbound: { tcp: 0, udp: 0 },
    inbound: { tcp: 0, udp: 0 },
    local: { tcp: 0, udp: 0 }
  }

  add(flow: Flow): this {
    const bytes = this.bytes[flow.protocol]
    bytes.in += flow.bytesIn
    bytes.out += flow.bytesOut
    // Nearly all flows are streams, and a scrape adds up thousands of them.
    if (flow.protocol === 'udp') this.#addDatagrams(flow)
    return this
  }

  /** Counts a flow among the present ones. */
  now({ direction, protocol, waitingBytes }: Flow): void {
    this.flows[direction][protocol] += 1
    this.waitingBytes += waitingBytes()
  }

  #addDatagrams({ datagramsIn, datagramsOut, drops }: Flow): void {
    this.datagrams.in += datagramsIn
    this.datagrams.out += datagramsOut
    for (const reason of REASONS) this.drops[reason] += drops[reason]
  }

  copy(): FlowTotals {
    const copy = new FlowTotals()
    for (const protocol of ['tcp', 'udp'] as const) Object.assign(copy.bytes[protocol], this.bytes[protocol])
    Object.assign(copy.datagrams, this.datagrams)
    Object.assign(copy.drops, this.drops)
    return copy
  }
}

const REASONS = ['full', 'gone', 'too large', 'oversize', 'rate'] as const
