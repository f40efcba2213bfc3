import type { MemberView } from '../output/views.ts'

/** The answer of the agent about itself, without what the doctor does not read. */
export interface StatusFacts {
  readonly version: string
  readonly state: string
  readonly evicted: string
  readonly expired: string
  readonly members: number
  readonly connected: number
  readonly policyVersion: bigint
  readonly policyLost: boolean
  readonly policyLeaseMs: bigint
  readonly policyUnheardMs: bigint
  readonly policyWithheld: boolean
  readonly identityInUse: boolean
  readonly duplicateHosts: readonly string[]
  readonly clockBehindMs: bigint
  readonly clockDifferences: ReadonlyArray<{ readonly machine: string; readonly aheadMs: bigint }>
  readonly descriptorAlarm: string
  readonly reloadProblem: string
  readonly waitingItems: ReadonlyArray<{ readonly name: string; readonly place: string; readonly problem: string }>
  readonly unannounced: string
  readonly meshAddresses: readonly string[]
  readonly dataAddresses: readonly string[]
  readonly leftOutCount: number
  readonly certificates: ReadonlyArray<{
    readonly kind: string
    readonly subject: string
    readonly notAfterMs: bigint
    readonly alarm: string
    readonly problem: string
  }>
  readonly sessionAlarms: ReadonlyArray<{ readonly machine: string; readonly problem: string }>
}

/** A figure of the agent. */
export interface SampleFacts {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** Something that could not be read, and what to do about it. */
export interface Problem {
  readonly problem: string
  readonly cure: string
}

export interface DirectoryFacts {
  readonly what: 'state' | 'runtime'
  readonly path: string
  /** Undefined if it is not there, or may not be looked at. */
  readonly found?: {
    readonly mode: number
    readonly uid: number
    readonly availableBytes: number
    readonly totalBytes: number
    readonly freeFiles: number
    readonly totalFiles: number
  }
  readonly problem?: string
}

/** A connection to an address that this host announces, from this host. */
export interface DialFacts {
  readonly address: string
  /** Undefined if it was accepted. */
  readonly problem?: string
}

/** What the doctor looks at. Nothing in it is secret. */
export interface Facts {
  readonly cliVersion: string
  readonly nodeVersion: string
  readonly kernel: string
  readonly uid: number
  readonly nowMs: number
  readonly status: StatusFacts | Problem
  /** Of the admin socket: only root and the agent's user may ask. */
  readonly members: readonly MemberView[] | Problem
  readonly samples: readonly SampleFacts[] | Problem
  readonly directories: readonly DirectoryFacts[]
  readonly dials: readonly DialFacts[]
  /** Largest receive buffer of a UDP socket, bytes; undefined where the system does not say. */
  readonly receiveBufferBytes: number | undefined
  /** Names among the announced addresses, with why each has no address; undefined if it has. */
  readonly names: ReadonlyArray<{ readonly name: string; readonly problem?: string }>
}

export function isProblem(value: object): value is Problem {
  return 'problem' in value && 'cure' in value
}
