import { constants } from 'node:os'
import koffi from 'koffi'
import type { Protocol } from '../../core/index.ts'
import {
  type Answer,
  decodeAnswer,
  encodeQuestion,
  type PortHolder,
  type PortQuestion,
  STATE_LISTEN
} from './inet-diag.ts'

// include/uapi/linux/{netlink,socket}.h; the same on every processor on which the agent runs.
const AF_INET = 2
const AF_NETLINK = 16
const NETLINK_SOCK_DIAG = 4
const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const SOCK_RAW = 3
const SOCK_CLOEXEC = 0o2000000
const MSG_DONTWAIT = 0x40
const NAME_BYTES = 16
/** An answer has some 100 bytes; one to an error repeats the question. */
const ANSWER_BYTES = 1_024
/** Answers to earlier questions that are skipped, before the socket is given up. */
const MAX_STALE = 8

interface Calls {
  readonly socket: (family: number, type: number, protocol: number) => number
  readonly send: (fd: number, bytes: Buffer, size: number, flags: number) => number
  readonly receive: (fd: number, bytes: Buffer, size: number, flags: number, from: Buffer, fromSize: Buffer) => number
  readonly bind: (fd: number, name: Buffer, size: number) => number
  readonly listen: (fd: number, backlog: number) => number
  readonly nameOf: (fd: number, name: Buffer, size: Buffer) => number
  readonly close: (fd: number) => number
}

/**
 * Asks the kernel for the one socket that a packet to a port of this host would reach: sock_diag, an exact query, which
 * needs no privilege and takes some microseconds.
 *
 * It uses one netlink socket and never waits: the kernel has answered when it has taken the question.
 */
export class SockDiag {
  readonly #calls: Calls
  readonly #answer = Buffer.alloc(ANSWER_BYTES)
  readonly #from = Buffer.alloc(NAME_BYTES)
  readonly #fromSize = Buffer.alloc(4)
  readonly #isServed = { tcp: false, udp: false }
  #fd: number | undefined
  #sequence = 0

  /** Throws if the functions of libc are missing. */
  constructor(calls: Calls = libcCalls()) {
    this.#calls = calls
  }

  /** Undefined if nobody holds the port. Throws when the kernel does not say. */
  ask(question: PortQuestion): PortHolder | undefined {
    const found = this.#query(question)
    // The same answer comes from a kernel that knows no such question about this protocol.
    if (found === undefined) this.#requireServed(question.protocol)
    return found
  }

  close(): void {
    if (this.#fd !== undefined) this.#calls.close(this.#fd)
    this.#fd = undefined
  }

  #query(question: PortQuestion): PortHolder | undefined {
    const answer = this.#exchange(question)
    if (answer.kind === 'nobody') return undefined
    if (answer.kind === 'holder' && answer.port === question.port) {
      if (question.protocol === 'udp' || question.from === undefined) return answer.holder
      // The kernel falls back to the listener, which says nothing about where this connection went.
      if (answer.holder.state === STATE_LISTEN) return undefined
      if (answer.peerPort === question.from.port) return answer.holder
    }
    const why = answer.kind === 'failed' ? `errno ${answer.errno}` : 'an answer about another port'
    throw new Error(`sock_diag failed with ${why}`)
  }

  #exchange(question: PortQuestion): Answer {
    this.#sequence = (this.#sequence + 1) % 2 ** 32
    const message = encodeQuestion(question, this.#sequence)
    try {
      this.#fd ??= this.#open()
      if (this.#calls.send(this.#fd, message, message.length, MSG_DONTWAIT) !== message.length) throw failure('send')
      for (let index = 0; index <= MAX_STALE; index += 1) {
        const answer = this.#receive(this.#fd)
        if (answer.kind !== 'other') return answer
      }
      throw new Error('sock_diag does not answer')
    } catch (err) {
      // Messages still in its queue would be taken for answers to later questions.
      this.close()
      throw err
    }
  }

  #receive(fd: number): Answer {
    this.#fromSize.writeUInt32LE(NAME_BYTES)
    const size = this.#calls.receive(fd, this.#answer, ANSWER_BYTES, MSG_DONTWAIT, this.#from, this.#fromSize)
    if (size < 0) throw failure('recvfrom')
    // The kernel has the port 0. Another program may send to this socket if it has CAP_NET_ADMIN.
    if (this.#from.readUInt32LE(4) !== 0) return { kind: 'other' }
    return decodeAnswer(this.#answer.subarray(0, size), this.#sequence)
  }

  #open(): number {
    const fd = this.#calls.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
    if (fd < 0) throw failure('socket(AF_NETLINK)')
    return fd
  }

  /** Looks for a socket of its own, once for each protocol. */
  #requireServed(protocol: Protocol): void {
    if (this.#isServed[protocol]) return
    const fd = this.#calls.socket(AF_INET, (protocol === 'tcp' ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0)
    if (fd < 0) throw failure('socket')
    try {
      const name = Buffer.from([AF_INET, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
      if (this.#calls.bind(fd, name, NAME_BYTES) < 0) throw failure('bind')
      if (protocol === 'tcp' && this.#calls.listen(fd, 1) < 0) throw failure('listen')
      this.#fromSize.writeUInt32LE(NAME_BYTES)
      if (this.#calls.nameOf(fd, name, this.#fromSize) < 0) throw failure('getsockname')
      const own = this.#query({ protocol, host: '127.0.0.1', port: name.readUInt16BE(2) })
      if (own === undefined) throw new Error(`sock_diag knows no sockets of ${protocol}`)
      this.#isServed[protocol] = true
    } finally {
      this.#calls.close(fd)
    }
  }
}

function failure(call: string): Error {
  const errno = koffi.errno()
  const name = Object.entries(constants.errno).find(([, number]) => number === errno)?.[0] ?? `errno ${errno}`
  return new Error(`${call} failed with ${name}`)
}

function libcCalls(): Calls {
  const libc = koffi.load(null)
  return {
    socket: libc.func('int socket(int family, int type, int protocol)'),
    send: libc.func('long send(int fd, const void *bytes, size_t size, int flags)'),
    receive: libc.func('long recvfrom(int fd, void *bytes, size_t size, int flags, void *from, void *fromSize)'),
    bind: libc.func('int bind(int fd, const void *name, uint32_t size)'),
    listen: libc.func('int listen(int fd, int backlog)'),
    nameOf: libc.func('int getsockname(int fd, void *name, void *size)'),
    close: libc.func('int close(int fd)')
  }
}
