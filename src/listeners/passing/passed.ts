import { closeSync } from 'node:fs'
import type { Socket } from 'node:net'
import { descriptorOf, ErrorCode, type Protocol, WarrenError } from '../../core/index.ts'
import type { PassingCalls } from './calls.ts'

// include/uapi/asm-generic/socket.h; the same on x86, ARM and RISC-V.
const SO_TYPE = 3
const SO_ACCEPTCONN = 30
const SO_PROTOCOL = 38
const SO_DOMAIN = 39
const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const AF_UNIX = 1
const AF_INET = 2
const AF_INET6 = 10
const IPPROTO_TCP = 6
const IPPROTO_UDP = 17

/** A listener, or a bound UDP socket, that another process has passed. Its owner closes the descriptor. */
export interface PassedSocket {
  readonly fd: number
  readonly family: 'unix' | 'IPv4' | 'IPv6'
}

/**
 * Takes the sockets of the one message that waits on `connection`, which nobody may have read from.
 *
 * Each must be a TCP or unix listener or, for `udp`, a UDP socket that is bound and not connected, by the kernel. Throws
 * INVALID_ARGUMENT otherwise; then every descriptor is closed.
 */
export function takePassed(connection: Socket, protocol: Protocol, calls: PassingCalls): PassedSocket[] {
  let message: ReturnType<PassingCalls['receive']>
  try {
    message = calls.receive(descriptorOf(connection))
  } catch (cause) {
    throw refusal('no descriptor was passed', cause)
  }
  const { descriptors, tooMany } = message
  try {
    if (tooMany) throw refusal('more descriptors were passed than a listener has')
    if (descriptors.length === 0) throw refusal('no descriptor was passed')
    const families = descriptors.map(fd => familyOf(fd, protocol, calls))
    if (new Set(families).size < families.length) throw refusal('two sockets of one family were passed')
    return descriptors.map((fd, index) => ({ fd, family: families[index] ?? 'unix' }))
  } catch (err) {
    for (const fd of descriptors) closeSync(fd)
    throw err
  }
}

function familyOf(fd: number, protocol: Protocol, calls: PassingCalls): PassedSocket['family'] {
  const domain = calls.option(fd, SO_DOMAIN)
  if (domain === undefined) throw refusal('what was passed is no socket')
  const family = domain === AF_INET ? 'IPv4' : domain === AF_INET6 ? 'IPv6' : domain === AF_UNIX ? 'unix' : undefined
  if (family === undefined) throw refusal('the socket that was passed is neither of IP nor a unix socket')
  const type = calls.option(fd, SO_TYPE)
  if (protocol === 'tcp') {
    const isListener = type === SOCK_STREAM && calls.option(fd, SO_ACCEPTCONN) === 1
    const isTcp = family === 'unix' || calls.option(fd, SO_PROTOCOL) === IPPROTO_TCP
    if (!isListener || !isTcp) throw refusal('the socket that was passed is no listener for TCP or unix connections')
    return family
  }
  const isUdp = type === SOCK_DGRAM && family !== 'unix' && calls.option(fd, SO_PROTOCOL) === IPPROTO_UDP
  if (!isUdp || calls.boundPort(fd) === 0) throw refusal('the socket that was passed is no bound UDP socket')
  // One that is connected has one client, and would hide the others.
  if (calls.isConnected(fd)) throw refusal('the UDP socket that was passed is connected')
  return family
}

function refusal(reason: string, cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, reason, { cause })
}
