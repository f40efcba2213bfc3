import type { FlowFields } from '../../events/index.ts'
import { FAST_PATH, type Flow, PACKETS } from './flow.ts'

/** What the log and the events say of a flow. */
export function fieldsOf(flow: Flow): FlowFields {
  const { id: flowId, direction, sourceText, destinationText, protocol, isOnFastPath, carrier } = flow
  return {
    flowId,
    direction,
    source: sourceText,
    destination: destinationText,
    protocol,
    carrier: isOnFastPath ? FAST_PATH : carrier
  }
}

export function displayedCarrier({ packets, isOnFastPath, carrier }: Flow): string {
  if (packets?.isUp === true) return PACKETS
  return isOnFastPath ? FAST_PATH : carrier
}

export function datagramsOf({ datagramsIn, datagramsOut, dropped }: Flow) {
  return { datagramsIn, datagramsOut, dropped }
}
