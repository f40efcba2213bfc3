import {
  type DnsAnswer,
  type DnsQuestion,
  type DnsRecord,
  ExtendedError,
  Rcode,
  txtStrings
} from '../../../listeners/index.ts'
import { ZONE } from './zone.ts'

/** What is known about a name of a service. */
export type Resolution =
  | {
      readonly kind: 'ready'
      /** Undefined where nobody asked for it: only questions for an address or a port make listeners. */
      readonly address: string | undefined
      readonly ports: readonly number[]
      /** For people: what it leads to, and as whom. */
      readonly facts: readonly string[]
      /** Why a connection would be refused, which a page at the port of HTTP says. @default it would not be */
      readonly refusal?: string
    }
  /** It has no records, and `why` says so: 'none' exists with nothing at it, 'failed' may work later. */
  | { readonly kind: 'unknown' | 'refused' | 'none' | 'failed'; readonly why: string }

/** How long an address may be used without another question, in seconds. */
const TTL = 5
/**
 * How long it may be taken for granted that a name does not exist, in seconds. A service may come at any time; and a resolver that
 * remembers that there is no such name has no answer for somebody who then asks for the text that says why.
 */
const NEGATIVE_TTL = 0
/** https://www.rfc-editor.org/rfc/rfc8482: one kind of records is answer enough. */
const ADDRESS_TYPES: ReadonlySet<string> = new Set(['A', 'ANY', 'UNKNOWN_255'])

const CODES = {
  unknown: { rcode: Rcode.NoSuchName, error: ExtendedError.Other },
  refused: { rcode: Rcode.NoSuchName, error: ExtendedError.Prohibited },
  none: { rcode: Rcode.NoError, error: ExtendedError.Other },
  failed: { rcode: Rcode.ServerFailure, error: ExtendedError.NoReachableAuthority }
} as const

/** Whether the answer to a question of this type is the address. */
export function asksForAddress(type: string): boolean {
  return ADDRESS_TYPES.has(type)
}

/** Whether a question of this type needs listeners. */
export function wantsListeners(type: string): boolean {
  return ADDRESS_TYPES.has(type) || type === 'SRV'
}

/** The answer to a question about a name of a service. */
export function answerOf({ name, type }: DnsQuestion, resolution: Resolution): DnsAnswer {
  if (resolution.kind !== 'ready') return withoutRecords(name, type, resolution.kind, resolution.why)
  const { address, ports, facts, refusal } = resolution
  if (ADDRESS_TYPES.has(type) && address !== undefined && !isServiceName(name)) {
    const error = refusal === undefined ? undefined : { code: ExtendedError.Prohibited, text: refusal }
    return { rcode: Rcode.NoError, answers: [addressRecord(name, address)], ...(error && { error }) }
  }
  if (type === 'SRV' && address !== undefined) {
    const target = name.replace(/^_[^.]+\._tcp\./i, '')
    const answers = ports.map((port, priority): DnsRecord => {
      return { type: 'SRV', name, ttl: TTL, data: { priority, weight: 0, port, target } }
    })
    return { rcode: Rcode.NoError, answers, additionals: [addressRecord(target, address)] }
  }
  if (type === 'TXT') return { rcode: Rcode.NoError, answers: facts.map(fact => text(name, fact, TTL)) }
  return { rcode: Rcode.NoError, authorities: [startOfAuthority()] }
}

/** The answer to a question about the top of the zone, and about what is between it and the services. */
export function innerAnswer({ name, type }: DnsQuestion, why: string): DnsAnswer {
  const isTop = name.toLowerCase().replace(/\.$/, '') === ZONE
  if (isTop && (type === 'SOA' || type === 'ANY')) return { rcode: Rcode.NoError, answers: [startOfAuthority()] }
  return withoutRecords(name, type, 'none', why)
}

/** The answer to a question about any other name: this is no resolver. */
export function otherAnswer(): DnsAnswer {
  const text = `this server knows names that end in .${ZONE}, and no others`
  return { rcode: Rcode.Refused, error: { code: ExtendedError.NotAuthoritative, text } }
}

function withoutRecords(name: string, type: string, kind: keyof typeof CODES, why: string): DnsAnswer {
  const { rcode, error: code } = CODES[kind]
  const error = { code, text: why }
  // Somebody who asks for a text wants to know; an answer without records would stop at most programs.
  if (type === 'TXT') return { rcode: Rcode.NoError, answers: [text(name, why, NEGATIVE_TTL)], error }
  if (rcode === Rcode.ServerFailure) return { rcode, error }
  return { rcode, authorities: [startOfAuthority()], error }
}

function addressRecord(name: string, data: string): DnsRecord {
  return { type: 'A', name, ttl: TTL, data }
}

function text(name: string, data: string, ttl: number): DnsRecord {
  return { type: 'TXT', name, ttl, data: txtStrings(data) }
}

function startOfAuthority(): DnsRecord {
  const data = {
    mname: ZONE,
    rname: `nobody.${ZONE}`,
    serial: 1,
    refresh: 60,
    retry: 60,
    expire: 60,
    minimum: NEGATIVE_TTL
  }
  return { type: 'SOA', name: ZONE, ttl: NEGATIVE_TTL, data }
}

function isServiceName(name: string): boolean {
  return name.startsWith('_')
}
