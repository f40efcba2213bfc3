import type { Http2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { takeOver } from '../fastpath/raw-socket.ts'
import type { Lane } from '../fastpath/record-connection.ts'
import type { LaneWay } from '../fastpath/upgrade-path.ts'
import { LANE_START_TIMEOUT_MS } from '../timing.ts'
import type { Cut } from './cut.ts'
import type { Flow } from './flow.ts'
import { afterWriting, isFlushed } from './flushed.ts'
import { LanePump } from './lane-pump.ts'
import { socketLeg, streamLeg } from './leg.ts'
import { splice } from './splice.ts'

/**
 * Joins a workload's socket and a stream to the other agent, and moves the flow to a lane when one comes.
 *
 * The stream stays open beside the lane: it carries what was sent before, and why the flow is cut. Guarantees of `splice`.
 */
export function spliceWithLane(
  flow: Flow,
  local: Socket,
  stream: Http2Stream,
  way: LaneWay,
  localIsSource: boolean
): Promise<Cut | undefined> {
  const { promise, resolve } = Promise.withResolvers<Cut | undefined>()
  const legs = [socketLeg(local), streamLeg(stream)] as const
  const [source, destination] = localIsSource ? legs : ([legs[1], legs[0]] as const)
  let chunks = 0
  let isAsked = !('dial' in way)
  let holdsPlace = false
  const joined = splice(flow, source, destination, () => {
    chunks += 1
    if (isAsked || !isWorth()) return
    isAsked = true
    ask()
  })
  let stopListening = listen()
  let dropPending = (): void => {}

  const settle = (cut: Cut | undefined): void => {
    stopListening()
    dropPending()
    givePlace()
    resolve(cut)
  }

  function listen(): () => void {
    return 'listen' in way ? way.listen(expectStart) : () => {}
  }

  function isWorth(): boolean {
    return 'dial' in way && (chunks >= way.worth.chunks || flow.bytesIn + flow.bytesOut >= way.worth.bytes)
  }

  function takePlace(): boolean {
    if (holdsPlace) return false
    holdsPlace = way.budget.take()
    return holdsPlace
  }

  function givePlace(): void {
    if (holdsPlace) way.budget.give()
    holdsPlace = false
  }

  function ask(): void {
    // A flow that is about to end is better left where it is.
    if (!('dial' in way) || stream.readableEnded || !takePlace()) return
    const dialled = way.budget.dial(way.dial)
    if (dialled === undefined) {
      // It asks again with the next chunk.
      isAsked = false
      givePlace()
      return
    }
    dialled.then(lane => move(lane, new LanePump(flow, stream, lane, localIsSource, settle)), givePlace)
  }

  function expectStart(lane: Lane): void {
    if (joined.isOver() || !takePlace()) {
      lane.destroy()
      return
    }
    // One at a time: what comes for this stream meanwhile, a repeated one say, is not answered.
    stopListening()
    const giveUp = (): void => {
      clearTimeout(timer)
      lane.destroy()
      givePlace()
      if (!joined.isOver()) stopListening = listen()
    }
    const timer = setTimeout(giveUp, LANE_START_TIMEOUT_MS)
    dropPending = giveUp
    lane.attend({
      started: offset => {
        clearTimeout(timer)
        dropPending = () => {}
        const pump = new LanePump(flow, stream, lane, localIsSource, settle)
        pump.started(offset)
        move(lane, pump)
      },
      closed: giveUp
    })
  }

  function move(lane: Lane, pump: LanePump): void {
    lane.attend(pump)
    const attempt = (): void => {
      if (joined.isOver() || lane.isOver) {
        lane.destroy()
        if (!joined.isOver()) stream.resume()
        return
      }
      // What waits for the workload must leave before its socket can be taken over; nothing may come in between.
      if (!isFlushed(local)) {
        stream.pause()
        afterWriting(local, attempt)
        return
      }
      const at = {
        sent: localIsSource ? flow.bytesOut : flow.bytesIn,
        received: localIsSource ? flow.bytesIn : flow.bytesOut,
        outEnded: local.readableEnded,
        inEnded: local.writableEnded
      }
      try {
        pump.begin(
          takeOver(local, bytes => pump.outgoing(bytes), joined.release),
          at
        )
      } catch {
        // No descriptor for it: the other end is told by the end of the lane.
        lane.destroy()
        stream.resume()
      }
    }
    attempt()
  }

  joined.over.then(settle, () => {})
  return promise
}
