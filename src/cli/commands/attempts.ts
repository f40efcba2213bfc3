import type { AuditLine } from '../../audit/index.ts'
import { ErrorCode, type Protocol, WarrenError } from '../../core/index.ts'
import type { Address } from '../../identity/index.ts'

/** A connection that an event or a record of the audit log is about. */
export interface Attempt {
  readonly source: Address
  readonly destination: Address
  readonly protocol: Protocol
  /** The rule that decided, else the ground, as in "WHITELIST". */
  readonly rule: string
}

/** In records: what a command keeps in memory at once. */
export const MAX_ATTEMPTS = 1_000_000

export type AttemptReader = (name: string, fields: Readonly<Record<string, unknown>>) => Attempt | undefined

/** Returns what reads an attempt; it returns undefined for a refusal that no rule would have changed. */
export async function attemptReader(): Promise<AttemptReader> {
  const { parseAddress } = await import('../../identity/index.ts')
  return (name, { source, destination, protocol, code, rule }) => {
    if (name === 'flow-refused' && code !== ErrorCode.Unauthorized) return undefined
    if (typeof source !== 'string' || typeof destination !== 'string') return undefined
    if (protocol !== 'tcp' && protocol !== 'udp') return undefined
    try {
      const ends = { source: parseAddress(source), destination: parseAddress(destination) }
      return { ...ends, protocol, rule: typeof rule === 'string' ? rule : '' }
    } catch {
      // A destination that was not chosen yet is no address.
      return undefined
    }
  }
}

/** The records of some names in audit logs. Throws INVALID_ARGUMENT if one cannot be read, or for more than MAX_ATTEMPTS. */
export async function recordsOf(
  files: readonly string[],
  sinceMs: number,
  events: readonly string[]
): Promise<AuditLine[]> {
  const { LogReader } = await import('../../audit/index.ts')
  const found: AuditLine[] = []
  for (const file of files) {
    for await (const line of new LogReader(file, { sinceMs, events }).records()) {
      found.push(line)
      if (found.length <= MAX_ATTEMPTS) continue
      throw new WarrenError(ErrorCode.InvalidArgument, `${file} has more than ${MAX_ATTEMPTS} connections`, {
        hint: 'Look at less: --since 1d.'
      })
    }
  }
  return found
}
