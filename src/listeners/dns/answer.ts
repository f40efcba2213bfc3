/** A question that can be answered. */
export interface DnsQuestion {
  readonly id: number
  /** As it was asked, in its case. */
  readonly name: string
  /** `A`, `TXT`…, or `UNKNOWN_65`. */
  readonly type: string
  /** `IN`, and hardly ever another. */
  readonly dnsClass: string
  readonly isRecursionDesired: boolean
  /** The largest answer that the client takes in a datagram, in bytes. Undefined: without EDNS, so 512. */
  readonly payloadBytes: number | undefined
}

/** A record of class IN, as the library of the format takes it. */
export type DnsRecord = { readonly name: string; readonly ttl: number } & (
  | { readonly type: 'A'; readonly data: string }
  | { readonly type: 'TXT'; readonly data: string[] }
  | {
      readonly type: 'SRV'
      readonly data: Readonly<Record<'priority' | 'weight' | 'port', number>> & { target: string }
    }
  | {
      readonly type: 'SOA'
      readonly data: Readonly<Record<'mname' | 'rname', string>> &
        Readonly<Record<'serial' | 'refresh' | 'retry' | 'expire' | 'minimum', number>>
    }
)

/** https://www.rfc-editor.org/rfc/rfc1035#section-4.1.1 */
export const Rcode = {
  NoError: 0,
  Malformed: 1,
  ServerFailure: 2,
  NoSuchName: 3,
  NotImplemented: 4,
  Refused: 5
} as const
export type Rcode = (typeof Rcode)[keyof typeof Rcode]

/** https://www.rfc-editor.org/rfc/rfc8914#section-4 */
export const ExtendedError = { Other: 0, Prohibited: 18, NotAuthoritative: 20, NoReachableAuthority: 22 } as const

export interface DnsAnswer {
  readonly rcode: Rcode
  readonly answers?: readonly DnsRecord[]
  readonly authorities?: readonly DnsRecord[]
  readonly additionals?: readonly DnsRecord[]
  /** Why, for a client with EDNS: a number of ExtendedError, and a text for people. */
  readonly error?: { readonly code: number; readonly text: string } | undefined
}

const MAX_TXT_BYTES = 255

/** A text as the strings of a TXT record, each of at most 255 bytes. */
export function txtStrings(text: string): string[] {
  const plain = asciiOf(text)
  return plain.match(new RegExp(`.{1,${MAX_TXT_BYTES}}`, 'g')) ?? ['']
}

/** Printable characters, with a question mark for each other one. */
export function asciiOf(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?')
}
