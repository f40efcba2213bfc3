import { readFileSync } from 'node:fs'
import { endianness } from 'node:os'
import { type PortHolder, type PortQuestion, STATE_LISTEN } from './inet-diag.ts'
import { SockDiag } from './sock-diag.ts'

export type { PortHolder, PortQuestion } from './inet-diag.ts'

/**
 * The socket that receives the packets to a port of this host now: for TCP its listener, for UDP the bound socket. Undefined
 * if there is none, as for a port whose packets are sent elsewhere by address translation. Throws if it is unknown.
 *
 * With `from`, for TCP: the server's end of that connection, in whatever state. Its user is unknown before it is accepted.
 */
export type AskPort = (question: PortQuestion) => PortHolder | undefined

/** The lookup on this system; undefined if the system has none. Throws if it has one that does not work here. */
export function portLookup(system: string = process.platform): AskPort | undefined {
  if (system !== 'linux' || endianness() !== 'LE') return undefined
  const diag = new SockDiag()
  const unknownUid = meaninglessUid()
  return question => {
    const holder = diag.ask(question)
    if (holder === undefined) return undefined
    // The end of a connection has no user while it waits to be accepted, nor after it was closed.
    if (question.protocol === 'tcp' && question.from !== undefined) return holder
    if (holder.uid === unknownUid) throw new Error(`uid ${holder.uid} stands for every user without a meaning here`)
    if (question.protocol === 'tcp' && holder.state !== STATE_LISTEN) throw new Error('the socket found is no listener')
    return holder
  }
}

/** The uid that the kernel gives for users whom this user namespace does not know; undefined if it knows all. */
export function meaninglessUid(): number | undefined {
  const knowsAll = /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'latin1'))
  return knowsAll ? undefined : Number(readFileSync('/proc/sys/kernel/overflowuid', 'latin1'))
}
