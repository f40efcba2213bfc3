import { fstatSync, readlinkSync, readSync, writeSync } from 'node:fs'
import type { Left } from '../core/index.ts'

/** A program as it was started. */
export interface Program {
  /** What the kernel executes. */
  readonly file: string
  readonly argv: readonly string[]
}

/** What is known of a handover, beside what is left. */
export interface HandoverFacts {
  readonly id: string
  /** By the monotonic clock of the host, which both processes share. */
  readonly begunMs: number
  /** The program that left this. */
  readonly former: Program & { readonly version: string; readonly descriptor?: number }
  /** Why the other program did not start; the one that reads this runs again. */
  readonly problem?: string
  readonly counts: Readonly<Record<string, number>>
}

interface Header {
  readonly form: number
  readonly facts: HandoverFacts
  readonly left: Readonly<
    Record<string, { readonly data?: unknown; readonly descriptors: number[]; readonly sizes: number[] }>
  >
}

const FORM = 1
const NAME = 'warren-handover'
const LENGTH_BYTES = 4

/** The name of the memory, for the system. */
export const MEMORY_NAME = NAME

/** Writes everything at the beginning of `fd`. */
export function writeDocument(fd: number, facts: HandoverFacts, left: ReadonlyMap<string, Left>): void {
  const pieces: Buffer[] = []
  const header: Header = {
    form: FORM,
    facts,
    left: Object.fromEntries(
      [...left].map(([name, { data, descriptors = [], bytes = [] }]) => {
        pieces.push(...bytes)
        return [name, { data, descriptors: [...descriptors], sizes: bytes.map(({ length }) => length) }]
      })
    )
  }
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUInt32BE(text.length)
  let at = 0
  for (const piece of [length, text, ...pieces]) {
    for (let done = 0; done < piece.length; ) {
      const size = writeSync(fd, piece, done, piece.length - done, at)
      done += size
      at += size
    }
  }
}

/** Reads what `writeDocument` wrote. Throws unless it is memory of that name, and in this form. */
export function readDocument(fd: number): { readonly facts: HandoverFacts; readonly left: Map<string, Left> } {
  if (!readlinkSync(`/proc/self/fd/${fd}`).startsWith(`/memfd:${NAME}`))
    throw new Error('it is no memory of a handover')
  const all = Buffer.alloc(fstatSync(fd).size)
  for (let done = 0; done < all.length; ) {
    const size = readSync(fd, all, done, all.length - done, done)
    if (size === 0) throw new Error('it is cut off')
    done += size
  }
  let at = LENGTH_BYTES + all.readUInt32BE(0)
  const header = JSON.parse(all.toString('utf8', LENGTH_BYTES, at)) as Header
  if (header.form !== FORM) throw new Error(`it has form ${header.form}, and this program knows ${FORM}`)
  const left = new Map<string, Left>()
  for (const [name, { data, descriptors, sizes }] of Object.entries(header.left)) {
    const bytes = sizes.map(size => {
      const piece = all.subarray(at, at + size)
      at += size
      return piece
    })
    left.set(name, { data, descriptors, bytes })
  }
  return { facts: header.facts, left }
}
