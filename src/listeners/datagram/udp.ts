import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { ErrorCode, formatHostPort, type HostPort, WarrenError } from '../../core/index.ts'
import { growPortBuffers, udpEndpoint } from '../../udp/index.ts'
import { MAX_DATAGRAM_BYTES } from '../../wire/index.ts'
import { bindAt, bindEachFamily } from '../listen-at.ts'
import type { PassedSocket } from '../passing/index.ts'
import type { LocalDatagrams } from './local.ts'
import { lossesOf } from './losses.ts'
import { Places } from './places.ts'

/** Requested of the kernel, which may give less. Enough for 120 ms or more of 50,000 datagrams of 512 bytes a second. */
const BUFFER_BYTES = 4 * 1024 * 1024

/**
 * A local UDP port, at both families for `localhost`. `onFailure` receives the errors of the network about single datagrams.
 * Rejects as `bindAt`.
 */
export async function bindUdp(at: HostPort, onFailure: (err: unknown) => void): Promise<LocalDatagrams> {
  const bind = async (one: HostPort): Promise<LocalDatagrams> => {
    const socket = socketFor(isIPv6(one.host) ? 'IPv6' : 'IPv4')
    const bound = await bindAt(socket, one)
    growPortBuffers(socket, BUFFER_BYTES)
    return datagramsOf(socket, bound, onFailure)
  }
  const { bound, all } = await bindEachFamily(at, bind, local => local.close())
  return joined(bound, all)
}

/**
 * The same for sockets that are bound already, of which there is one or one for each family. It closes their descriptors. Their
 * buffers are those that their owner could give them: this process may have more rights.
 */
export async function adoptUdp(
  passed: readonly PassedSocket[],
  onFailure: (err: unknown) => void
): Promise<LocalDatagrams> {
  const all: LocalDatagrams[] = []
  try {
    for (const { fd, family } of passed) {
      const socket = socketFor(family)
      const listening = once(socket, 'listening')
      socket.bind({ fd, exclusive: true })
      await listening
      const { address: host, port } = socket.address()
      all.push(datagramsOf(socket, formatHostPort({ host, port }), onFailure))
    }
  } catch (cause) {
    for (const local of all) local.close()
    for (const { fd } of passed.slice(all.length)) closeSync(fd)
    throw WarrenError.from(cause)
  }
  const [first, ...others] = all
  if (first === undefined) throw new WarrenError(ErrorCode.Internal, 'no socket was passed')
  return joined(first.bound, [first, ...others])
}

/** Binds a UDP port that datagrams wait at until it is adopted. The caller closes the descriptor that `keep` makes of the socket. */
export async function holdUdp(
  at: HostPort,
  keep: (socket: UdpSocket) => number
): Promise<{ readonly bound: string; readonly fd: number }> {
  const socket = socketFor(isIPv6(at.host) ? 'IPv6' : 'IPv4')
  const bound = await bindAt(socket, at)
  // Nothing was read yet: the event loop has not looked at the socket.
  try {
    growPortBuffers(socket, BUFFER_BYTES)
    return { bound, fd: keep(socket) }
  } finally {
    socket.close()
  }
}

function socketFor(family: PassedSocket['family']): UdpSocket {
  return createSocket(family === 'IPv6' ? 'udp6' : 'udp4')
}

function joined(bound: string, [first, second]: readonly [LocalDatagrams, ...LocalDatagrams[]]): LocalDatagrams {
  if (second === undefined) return first
  const all = [first, second]
  const six = all.find(one => one.bound.startsWith('[')) ?? second
  const four = all.find(one => one !== six) ?? first
  return {
    bound,
    onDatagram: listener => {
      for (const one of all) one.onDatagram(listener)
    },
    send: (payload, to) => (to.includes(':') ? six : four).send(payload, to),
    lost: () => four.lost() + six.lost(),
    close: () => {
      for (const one of all) one.close()
    }
  }
}

function datagramsOf(socket: UdpSocket, bound: string, onFailure: (err: unknown) => void): LocalDatagrams {
  // An error of the network about an answer (ECONNREFUSED, for example) ends nothing.
  socket.on('error', onFailure)
  const endpoint = udpEndpoint(socket)
  const places = new Places()
  return {
    bound,
    onDatagram: listener =>
      endpoint.listen(MAX_DATAGRAM_BYTES, (payload, from) => listener(payload, places.textOf(from()))),
    send: (payload, to) => endpoint.send(payload, places.at(to)),
    lost: lossesOf(socket),
    close: () => endpoint.close()
  }
}
