import type { FlowFields, ProcessFields } from '../../events/index.ts'
import { DIRECT, DOUBLED_PACKETS, FAST_PATH, type Flow, type FlowInfo, PACKETS, WAITING } from './flow.ts'

/** The process of a registration of this host. */
export type ProcessOf = (registrationId: string) => ProcessFields | undefined

/** What the events say of a flow. */
export function eventFieldsOf(flow: Flow, processOf: ProcessOf): FlowFields {
  const { direction, sourceId, destination } = flow
  // An id is unique on one host only: that of a destination elsewhere must not be looked up here.
  const destinationId = direction === 'outbound' ? undefined : destination?.registrationId
  // Kept: at the end of a flow, the registration may have ended before.
  if (sourceId !== undefined) flow.sourceProcess ??= processOf(sourceId)
  if (destinationId !== undefined) flow.destinationProcess ??= processOf(destinationId)
  const { rule, sourceProcess, destinationProcess } = flow
  return { ...fieldsOf(flow), rule, sourceProcess, destinationProcess }
}

/** What the log says of a flow. */
export function fieldsOf(flow: Flow): Omit<FlowFields, 'rule' | 'sourceProcess' | 'destinationProcess'> {
  const { id: flowId, direction, sourceText, destinationText, protocol, isOnFastPath, carrier } = flow
  return {
    flowId,
    direction,
    source: sourceText,
    destination: destinationText,
    protocol,
    carrier: isOnFastPath ? fastPathOver(carrier) : carrier
  }
}

// The session of a fast-path connection is a direct one, unless it says otherwise.
function fastPathOver(carrier: string): string {
  return carrier === DIRECT ? FAST_PATH : `${carrier} ${FAST_PATH}`
}

export function displayedCarrier({ packets, multipath, isOnFastPath, carrier, interruption }: Flow): string {
  if (interruption?.isWaiting === true) return WAITING
  if (packets?.isUp === true) return multipath && packets.isDoubled ? DOUBLED_PACKETS : PACKETS
  return isOnFastPath ? fastPathOver(carrier) : carrier
}

export function datagramsOf({ datagramsIn, datagramsOut, dropped }: Flow) {
  return { datagramsIn, datagramsOut, dropped }
}

/** The flow for people, without an alarm. */
export function infoOf(flow: Flow): FlowInfo {
  return {
    id: flow.id,
    direction: flow.direction,
    source: flow.sourceText,
    destination: flow.destinationText,
    protocol: flow.protocol,
    carrier: displayedCarrier(flow),
    bytesIn: flow.bytesIn,
    bytesOut: flow.bytesOut,
    ...datagramsOf(flow),
    openedAtMs: flow.openedAtMs,
    rule: flow.rule,
    problem: '',
    cutAtMs: 0
  }
}
