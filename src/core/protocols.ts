/** The versions of one protocol that an agent speaks: each number from `min` to `max`. */
export interface VersionRange {
  readonly min: number
  readonly max: number
}

/** The versions that a host says it speaks. */
export interface ProtocolVersions extends VersionRange {
  readonly name: string
}

/** The largest version. It has 16 bits in the settings of a session. */
const MAX_VERSION = 0xffff

/**
 * The versions of each protocol that this program speaks, and the only place where they are raised. Each protocol
 * negotiates by itself: docs/protocol/versions.md.
 */
export const PROTOCOLS = Object.freeze({
  /** The streams and requests of libp2p, each under a name that ends with its version. */
  mesh: { min: 1, max: 1 },
  /** HTTP/2 over TLS between two workloads; the version is in the ALPN. */
  session: { min: 1, max: 1 },
  /**
   * Sealed records beside a session; both ends show their versions in its settings. From version 2 on the records that
   * open and grant a flow may bring its first bytes.
   */
  'fast-path': { min: 1, max: 2 },
  /** Sealed packets beside a session; the same. */
  datagrams: { min: 1, max: 1 },
  /** Flows that outlive their session; an agent that resumes none shows no version. From version 2 on much is acknowledged at once. */
  resume: { min: 1, max: 2 },
  /** Calls on the unix sockets of an agent; the versions are in a header. */
  'local-api': { min: 1, max: 1 }
} as const satisfies Record<string, VersionRange>)
export type ProtocolName = keyof typeof PROTOCOLS

/** Those that another host needs to know. */
export const ANNOUNCED_PROTOCOLS: readonly ProtocolVersions[] = Object.freeze(
  (['mesh', 'session', 'fast-path', 'datagrams'] as const).map(name => Object.freeze({ name, ...PROTOCOLS[name] }))
)

/** Programs from before versions were shown speak this one. */
export const FIRST_VERSION: VersionRange = Object.freeze({ min: 1, max: 1 })

/** Returns the best version that both speak; undefined if there is none. */
export function commonVersion(a: VersionRange, b: VersionRange): number | undefined {
  const best = Math.min(a.max, b.max)
  return best >= Math.max(a.min, b.min) ? best : undefined
}

/** Whether the numbers that somebody sent are versions. */
export function isVersionRange({ min, max }: VersionRange): boolean {
  return Number.isSafeInteger(min) && Number.isSafeInteger(max) && min >= 1 && min <= max && max <= MAX_VERSION
}

/** A version for people: "1", or "1-3". */
export function formatVersions({ min, max }: VersionRange): string {
  return min === max ? String(min) : `${min}-${max}`
}

const SOFTWARE_VERSION = /^[0-9A-Za-z][0-9A-Za-z.+-]{0,31}$/

/** Returns the version of a program that another one sent, or an empty text if it is not fit to be shown. */
export function softwareVersion(text: string): string {
  return SOFTWARE_VERSION.test(text) ? text : ''
}
