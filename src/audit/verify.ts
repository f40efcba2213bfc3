import { CONTEXT, type PeerKey, parsePeerKey, rawKeyOf, verifySignature } from '../identity/index.ts'
import { filesOf, type LogFile } from './files.ts'
import { type AuditLine, type ChainEnd, EMPTY_CHAIN, hashOf, parseLine } from './line.ts'
import { linesOf } from './lines.ts'

export interface VerifyOptions {
  /** Keys that may have signed. @default any one, which the answer names */
  readonly peers?: readonly PeerKey[]
  /** Lines that must be there, as other hosts have heard of them. */
  readonly checkpoints?: readonly ChainEnd[]
}

/** The first line that is not as it was written, or the place where one is missing. */
export interface Damage {
  readonly file: string
  /** In this file, from 1 on. */
  readonly line: number
  /** The number that it has, or should have. */
  readonly seq: number
  readonly problem: string
}

/** What is known of a log. */
export interface Verified {
  readonly damage: Damage | undefined
  readonly files: number
  readonly lines: number
  readonly first: ChainEnd | undefined
  readonly last: ChainEnd | undefined
  readonly lastAt: string
  /** Number of the newest signed line; 0 if none is. */
  readonly signedThrough: number
  /** Older lines, up to this number, were removed because of the size of the log; 0 if none was. */
  readonly removedThrough: number
  /** Records that the log says it lost. */
  readonly lost: number
  /** Keys that have signed. */
  readonly peers: readonly PeerKey[]
}

interface Place {
  readonly file: string
  readonly line: number
}

/** A line that follows the line before, and that the next line has still to confirm. */
interface Held extends Place {
  readonly parsed: AuditLine
  readonly sha256: string
}

/**
 * Verifies that the lines of a log are those that were written, in their order, from the first one that is kept to the last.
 *
 * Lines behind the last signed one are verified against each other only. Rejects with INVALID_ARGUMENT if the log cannot be read.
 */
export async function verifyLog(path: string, options: VerifyOptions = {}): Promise<Verified> {
  return await new Verification(filesOf(path), options).run()
}

class Verification {
  readonly #files: readonly LogFile[]
  readonly #options: VerifyOptions
  readonly #awaited: Map<number, string>
  readonly #peers = new Set<PeerKey>()
  #held: Held | undefined
  /** Two lines that do not fit: the first one if the next line confirms the second, else the second. */
  #doubt: { readonly first: Damage; readonly second: Damage } | undefined
  #first: ChainEnd | undefined
  #firstPlace: (Place & { readonly prev: string }) | undefined
  #removed: ChainEnd = EMPTY_CHAIN
  #lines = 0
  #lost = 0
  #signedThrough = 0

  constructor(files: readonly LogFile[], options: VerifyOptions) {
    this.#files = files
    this.#options = options
    this.#awaited = new Map(options.checkpoints?.map(({ seq, sha256 }) => [seq, sha256]))
  }

  async run(): Promise<Verified> {
    const damage = (await this.#walk()) ?? this.#doubt?.first ?? this.#beginning() ?? this.#ending()
    const held = this.#held
    return {
      damage,
      files: this.#files.length,
      lines: this.#lines,
      first: this.#first,
      last: held === undefined ? undefined : { seq: held.parsed.seq, sha256: held.sha256 },
      lastAt: held?.parsed.at ?? '',
      signedThrough: this.#signedThrough,
      removedThrough: this.#removed.seq,
      lost: this.#lost,
      peers: [...this.#peers]
    }
  }

  async #walk(): Promise<Damage | undefined> {
    for (const { path } of this.#files) {
      let line = 0
      for await (const { bytes, isWhole } of linesOf(path)) {
        line += 1
        const damage = this.#next({ file: path, line }, bytes, isWhole)
        if (damage !== undefined) return damage
      }
    }
    return undefined
  }

  #next(place: Place, bytes: Buffer, isWhole: boolean): Damage | undefined {
    const before = this.#held
    const seq = (before?.parsed.seq ?? 0) + 1
    const broken = (problem: string): Damage => ({ ...place, seq, problem })
    if (!isWhole) return broken('it is cut off in its middle')
    const text = bytes.toString()
    const parsed = parseLine(text)
    if (this.#doubt !== undefined) return parsed?.prev === before?.sha256 ? this.#doubt.first : this.#doubt.second
    // Bytes that are no text would be replaced by a character, and hashed as that.
    if (parsed === undefined || !Buffer.from(text).equals(bytes))
      return broken('it was changed: it is no line of an audit log')
    const misplaced = before === undefined ? this.#begins(parsed, place) : this.#follows(before, parsed, place)
    if (misplaced !== undefined) return misplaced
    const damage = this.#verifySignature(parsed, place)
    if (damage !== undefined) return damage
    const sha256 = hashOf(bytes)
    const awaited = this.#awaited.get(parsed.seq)
    if (awaited !== undefined && awaited !== sha256) {
      return { ...place, seq: parsed.seq, problem: 'it, or a line before, is not the one of the checkpoint' }
    }
    this.#take(parsed, sha256, place)
    return undefined
  }

  /** Whether such a line can be the first one of all that are kept; `#beginning` knows more at the end. */
  #begins({ seq, event }: AuditLine, place: Place): Damage | undefined {
    const named = this.#files[0]?.firstSeq
    if (named === undefined ? seq === 1 || event === 'audit-rotated' : seq === named) return undefined
    return missingBefore(place, named ?? 1, seq)
  }

  #follows(before: Held, { seq, prev }: AuditLine, place: Place): Damage | undefined {
    const expected = before.parsed.seq + 1
    if (seq !== expected) return missingBefore(place, expected, seq)
    if (prev === before.sha256) return undefined
    const changed = 'it was changed: the next line has the hash of another one'
    const first = { file: before.file, line: before.line, seq: before.parsed.seq, problem: changed }
    this.#doubt = {
      first,
      second: { ...place, seq, problem: 'it was changed: it has not the hash of the line before' }
    }
    return undefined
  }

  #verifySignature({ seq, event, fields, signature, signed }: AuditLine, place: Place): Damage | undefined {
    const broken = (problem: string): Damage => ({ ...place, seq, problem })
    if (event.startsWith('audit-') !== (signature !== undefined)) {
      return broken(
        signature === undefined ? 'it was changed: its signature is missing' : 'it was changed: it is signed'
      )
    }
    if (signature === undefined) return undefined
    const peer = peerOf(fields)
    const { peers } = this.#options
    if (peer === undefined) return broken('it was changed: it names no key')
    if (peers !== undefined && !peers.includes(peer)) return broken(`it is signed by another host, ${peer}`)
    const bytes = Buffer.from(signed)
    if (!verifySignature(rawKeyOf(peer), CONTEXT.auditLog, bytes, Buffer.from(signature, 'hex'))) {
      return broken('it was changed: its signature is not valid')
    }
    this.#peers.add(peer)
    this.#signedThrough = seq
    return undefined
  }

  #take(parsed: AuditLine, sha256: string, place: Place): void {
    const { seq, event, fields, prev } = parsed
    if (this.#first === undefined) {
      this.#first = { seq, sha256 }
      this.#firstPlace = { ...place, prev }
    }
    if (event === 'audit-rotated') {
      this.#removed = { seq: Number(fields['removedThrough']), sha256: String(fields['removedHash']) }
    }
    if (event === 'audit-gap') this.#lost += Number(fields['lost'])
    this.#lines += 1
    this.#held = { ...place, parsed, sha256 }
  }

  /** Whether the log begins where it says that it does. It may have more: a crash can come before the oldest file is removed. */
  #beginning(): Damage | undefined {
    const [first, place] = [this.#first, this.#firstPlace]
    if (first === undefined || place === undefined) return undefined
    const { seq, sha256 } = this.#removed
    const { file, line } = place
    if (first.seq > seq + 1) return missingBefore(place, seq + 1, first.seq)
    if (first.seq < seq + 1 || place.prev === sha256) return undefined
    return {
      file,
      line,
      seq: first.seq,
      problem: 'it was changed: it does not follow the line that was removed before it'
    }
  }

  #ending(): Damage | undefined {
    const last = this.#held
    const lastSeq = last?.parsed.seq ?? 0
    const newest = Math.max(0, ...this.#awaited.keys())
    if (newest <= lastSeq) return undefined
    const { file, line } = last ?? { file: this.#files.at(-1)?.path ?? '', line: 0 }
    const problem = `${linesText(lastSeq + 1, newest)} missing: the end is cut off`
    return { file, line: line + 1, seq: lastSeq + 1, problem }
  }
}

/** A line has the number `found` where another is expected. */
function missingBefore({ file, line }: Place, expected: number, found: number): Damage {
  const problem =
    found > expected
      ? `${linesText(expected, found - 1)} missing before it`
      : `it is out of its order: it has the number ${found}`
  return { file, line, seq: expected, problem }
}

function linesText(first: number, last: number): string {
  return first === last ? `line ${first} is` : `lines ${first} to ${last} are`
}

function peerOf(fields: AuditLine['fields']): PeerKey | undefined {
  const { peer } = fields
  try {
    return typeof peer === 'string' ? parsePeerKey(peer) : undefined
  } catch {
    return undefined
  }
}
