import { ErrorCode, nearest, WarrenError } from '../core/index.ts'
import { AUDIT_RECORDS, AUDITED_EVENTS } from '../events/index.ts'
import { type PeerKey, parsePattern, parsePeerKey } from '../identity/index.ts'
import type { ChainEnd } from './line.ts'
import type { Selection } from './select.ts'

/** What a person types to choose records. */
export interface SelectionInput {
  readonly source: string | undefined
  readonly destination: string | undefined
  readonly sinceMs: number | undefined
  readonly events: readonly string[] | undefined
}

const CHECKPOINT = /^([1-9]\d{0,15}):([0-9a-f]{64})$/
const NAMES: readonly string[] = [...AUDITED_EVENTS, ...AUDIT_RECORDS]

/** Reads `SEQ:SHA256`. Throws INVALID_ARGUMENT. */
export function parseCheckpoint(text: string): ChainEnd {
  const [, seq, sha256] = CHECKPOINT.exec(text.toLowerCase()) ?? []
  if (seq !== undefined && sha256 !== undefined) return { seq: Number(seq), sha256 }
  throw new WarrenError(ErrorCode.InvalidArgument, `--checkpoint "${text.slice(0, 80)}" is not a line and its hash`, {
    hint: 'Copy it from auditCheckpoint in the output of: warren members --json. It looks like 1200:9f86d0…, with 64 hex digits.'
  })
}

/** Reads a PeerId. Throws INVALID_ARGUMENT. */
export function parseSigner(text: string): PeerKey {
  return parsePeerKey(text)
}

/** Throws INVALID_ARGUMENT for a pattern that is none, and for the name of no record. */
export function parseSelection({ source, destination, sinceMs, events }: SelectionInput): Selection {
  const unknown = events?.find(name => !NAMES.includes(name))
  if (unknown !== undefined) {
    const meant = nearest(unknown, NAMES)
    throw new WarrenError(ErrorCode.InvalidArgument, `no record has the name "${unknown.slice(0, 80)}"`, {
      hint: meant === undefined ? `There are: ${NAMES.join(', ')}.` : `Did you mean ${meant}?`
    })
  }
  return {
    source: source === undefined ? undefined : parsePattern(source),
    destination: destination === undefined ? undefined : parsePattern(destination),
    sinceMs,
    events
  }
}
