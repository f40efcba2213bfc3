import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Reach } from '../../cluster/index.ts'
import type { Protocol } from '../../core/index.ts'
import { type adminPb, apiPb } from '../../wire/index.ts'

/** Who may connect to whom, as the message has it. */
export function reachMessage({
  pairs,
  statements,
  isCutOff
}: Reach): MessageInitShape<typeof adminPb.ListReachResponseSchema> {
  return {
    pairs: pairs.map(pair => ({ ...pair, protocol: wireProtocol(pair.protocol) })),
    statements: statements.map(one => ({ ...one, protocols: one.protocols.map(wireProtocol) })),
    cutOff: isCutOff
  }
}

function wireProtocol(protocol: Protocol): apiPb.Protocol {
  return protocol === 'udp' ? apiPb.Protocol.UDP : apiPb.Protocol.TCP
}
