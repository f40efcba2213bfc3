import type { Flow } from '../flow/index.ts'
import type {
  CapsulesEnd,
  FlowEnds,
  LocalByteEnd,
  LocalDatagramEnd,
  LocalEnd,
  RecordsEnd,
  StreamEnd
} from '../relay/index.ts'
import type { Admission, AdmittedFlow } from './admission.ts'

/** How a requested flow is admitted, and its two ends then. */
export interface Carrying<E extends LocalEnd> {
  readonly admit: (flow: Flow, signal: AbortSignal) => Promise<AdmittedFlow<E>>
  /** Called once, when the flow is granted. */
  readonly ends: (local: E) => FlowEnds
}

/** A TCP flow whose other end is `far`. */
export function carryingBytes(admission: Admission, far: () => StreamEnd | RecordsEnd): Carrying<LocalByteEnd> {
  return {
    admit: (flow, signal) => admission.admitTcp(flow, signal),
    ends: local => ({ localIs: 'destination', protocol: 'tcp', local, far: far() })
  }
}

/** A UDP flow whose other end is `far`. */
export function carryingDatagrams(admission: Admission, far: () => CapsulesEnd): Carrying<LocalDatagramEnd> {
  return {
    admit: (flow, signal) => admission.admitUdp(flow, signal),
    ends: local => ({ localIs: 'destination', protocol: 'udp', local, far: far() })
  }
}
