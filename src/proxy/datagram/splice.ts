import type { Metrics } from '../../core/index.ts'
import { MAX_DATAGRAM_BYTES } from '../../wire/index.ts'
import type { Cut, DropReason, Flow } from '../flow/index.ts'
import { UDP_LINGER_MS } from '../timing.ts'
import { type DatagramLeg, MAX_BACKLOG_BYTES } from './leg.ts'
import { MAX_PATH_DATAGRAM_BYTES } from './packet/index.ts'

export interface DatagramSpliceOptions {
  /** A flow without a datagram in either direction ends after this time, or up to a quarter more. */
  readonly idleMs: number
  readonly metrics: Metrics
}

const CHECKS = 4

type Count = (datagrams: number, bytes: number) => void

/**
 * Joins the two legs of a flow of datagrams, counts those that pass and those that are dropped, and ends it when it is
 * idle.
 *
 * After one side has ended, the other one has `UDP_LINGER_MS` without a datagram for its last answers. Resolves with
 * undefined after a clean end, with kind `done` for an idle flow, else with the reason of the cut; never rejects.
 */
export function spliceDatagrams(
  flow: Flow,
  source: DatagramLeg,
  destination: DatagramLeg,
  { idleMs, metrics }: DatagramSpliceOptions
): Promise<Cut | undefined> {
  const { promise, resolve } = Promise.withResolvers<Cut | undefined>()
  let over = false
  let moved = false
  let open = 2
  let quietChecks = 0
  let limitMs = idleMs
  let timer: NodeJS.Timeout
  let behindUntilMs = 0

  const settle = (cut: Cut | undefined): void => {
    if (over) return
    over = true
    clearTimeout(timer)
    flow.signal.removeEventListener('abort', onCut)
    for (const leg of [source, destination]) {
      if (cut === undefined || cut.kind === 'done') leg.close()
      else leg.abort(cut.kind)
    }
    resolve(cut)
  }
  const onCut = (): void => settle(flow.cutBy ?? { kind: 'shutdown', text: 'cut' })
  const drop = (why: DropReason, datagrams = 1): void => {
    flow.drops[why] += datagrams
    report(metrics, flow, why)
  }
  const check = (): void => {
    quietChecks = moved ? 0 : quietChecks + 1
    moved = false
    if (quietChecks >= CHECKS) settle({ kind: 'done', text: `idle for ${Math.round(limitMs / 1_000)} s` })
    else watch()
  }
  const watch = (): void => {
    clearTimeout(timer)
    timer = setTimeout(check, limitMs / CHECKS)
  }
  const carry = (from: DatagramLeg, to: DatagramLeg, count: Count, countBack: Count): void => {
    from.start({
      datagram: payload => {
        if (over) return
        moved = true
        for (const mayCarry of flow.buckets) {
          if (mayCarry()) continue
          drop('rate')
          return
        }
        const { pace } = flow
        // Beyond a limit of bytes datagrams are dropped: to keep them would only delay those that follow.
        if (pace !== undefined && behindUntilMs > performance.now()) {
          flow.drops.rate += 1
          return
        }
        const sent = to.send(payload)
        if (sent === 'sent') count(1, payload.length)
        else drop(sent)
        if (pace !== undefined && sent === 'sent') behindUntilMs = performance.now() + pace.use(payload.length)
      },
      dropped: (datagrams, bytes) => {
        countBack(-datagrams, -bytes)
        drop('full', datagrams)
      },
      oversized: () => drop('too large'),
      ended: () => {
        open -= 1
        if (open === 0) settle(undefined)
        if (over) return
        to.end()
        limitMs = Math.min(idleMs, UDP_LINGER_MS)
        quietChecks = 0
        watch()
      },
      closed: () => settle(flow.cutBy),
      failed: cut => settle(flow.cutBy ?? cut)
    })
  }

  flow.signal.addEventListener('abort', onCut, { once: true })
  watch()
  const countOut: Count = (datagrams, bytes) => {
    flow.datagramsOut += datagrams
    flow.bytesOut += bytes
  }
  const countIn: Count = (datagrams, bytes) => {
    flow.datagramsIn += datagrams
    flow.bytesIn += bytes
  }
  carry(source, destination, countOut, countIn)
  carry(destination, source, countIn, countOut)
  if (flow.signal.aborted) onCut()
  return promise
}

function report(metrics: Metrics, { id: flowId, datagramsPerSecond }: Flow, why: DropReason): void {
  switch (why) {
    case 'too large':
      metrics.hit('proxy_datagram_bytes', { flowId, limit: MAX_DATAGRAM_BYTES })
      return
    case 'oversize':
      metrics.hit('proxy_datagram_path_bytes', { flowId, limit: MAX_PATH_DATAGRAM_BYTES })
      return
    case 'rate':
      metrics.hit('proxy_datagrams_per_second', { flowId, limit: datagramsPerSecond })
      return
    case 'full':
      metrics.hit('proxy_datagram_backlog', { flowId, limit: MAX_BACKLOG_BYTES })
      return
    case 'gone':
  }
}
