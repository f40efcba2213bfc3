import type { Endpoint } from '../listeners/index.ts'

/** What files declare, in words for people, and where. */
interface DeclaredItem {
  /** Unique among its kind, and the same after a reload. */
  readonly name: string
  /** A user by name or number. */
  readonly user: string
  /** FILE:LINE */
  readonly place: string
}

/** A server of this host that gets an address, as by `warren expose`. */
export interface DeclaredService extends DeclaredItem {
  /** Four components. */
  readonly address: string
  readonly target:
    | { readonly kind: 'tcp' | 'udp'; readonly address: string; readonly gateway?: boolean }
    | { readonly kind: 'unix'; readonly path: string }
  /** As of the option; empty: the user of the item. */
  readonly serverUser: string
  readonly proxyProtocol: boolean
  readonly healthCheck: string
  /** Zero: as many as the agent allows. */
  readonly maxConnects: number
  /** Bytes a second; zero: no limit. */
  readonly maxRate: number
  readonly allow: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  /** Ports at which clients expect it. */
  readonly ports: readonly number[]
  /** Share of new connections against other instances. @default 100 */
  readonly weight?: number | undefined
  readonly multipath?: boolean | undefined
  /** Names for its certificates. */
  readonly dnsNames: readonly string[]
}

/** A local listener that leads to a workload, as by `warren forward`. */
export interface DeclaredForward extends DeclaredItem {
  readonly listen: Endpoint
  readonly protocol: 'tcp' | 'udp'
  /** A pattern. */
  readonly destination: string
  /** Address of the source: four components. */
  readonly as: string
  readonly strategy: 'balanced' | 'spread' | 'first' | 'sticky' | 'exact'
  readonly keepAliveMs: number
  readonly idleMs: number
  readonly oneQuestion: boolean
}

export interface Declared {
  readonly services: readonly DeclaredService[]
  readonly forwards: readonly DeclaredForward[]
}

/** The files, read anew. */
export interface Reading {
  readonly declared: Declared
  /** Options of the agent that now differ from those that it was started with, and need a restart. */
  readonly needRestart: readonly string[]
}

/** Where an agent finds what it runs for users. */
export interface DeclaredSource {
  /** At the start. */
  readonly declared: Declared
  /** Reads and checks all files; undefined if there is none. Rejects with INVALID_CONFIG. */
  readonly read: () => Promise<Reading | undefined>
  /** @default nobody is notified of a reload */
  readonly watcher?: ReloadWatcher
}

/** Notified of each reload, whoever asked for it. */
export interface ReloadWatcher {
  /** It reads the files. `ended` follows, whatever happens. */
  readonly begun: () => void
  /** With why it was not applied; empty if it was. */
  readonly ended: (problem: string) => void
}

export const NOTHING_DECLARED: Declared = Object.freeze({ services: [], forwards: [] })
