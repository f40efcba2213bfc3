import { apiPb } from '../../wire/index.ts'

const NAMES: ReadonlyMap<apiPb.Protocol, string> = new Map([
  [apiPb.Protocol.TCP, 'tcp'],
  [apiPb.Protocol.UDP, 'udp']
])

export function protocolName(protocol: apiPb.Protocol): string {
  return NAMES.get(protocol) ?? 'unknown'
}

/** The protocol of that name; undefined if the text is another. */
export function protocolFrom(name: string): apiPb.Protocol | undefined {
  return [...NAMES].find(([, known]) => known === name)?.[0]
}
