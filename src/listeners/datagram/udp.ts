import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { formatHostPort, type HostPort, isLocalhost, LOOPBACK, parseHostPort } from '../../core/index.ts'
import { growPortBuffers, udpEndpoint } from '../../udp/index.ts'
import { MAX_DATAGRAM_BYTES } from '../../wire/index.ts'
import { bindAt, isWithoutFamily } from '../listen-at.ts'
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
  const [host, second] = isLocalhost(at.host) ? LOOPBACK : []
  if (host === undefined || second === undefined) return await bindOne(at, onFailure)
  const four = await bindOne({ ...at, host }, onFailure)
  const { port } = parseHostPort(four.bound)
  let six: LocalDatagrams
  try {
    six = await bindOne({ host: second, port }, onFailure)
  } catch (err) {
    if (isWithoutFamily(err)) return four
    four.close()
    throw err
  }
  const both = [four, six]
  return {
    bound: formatHostPort({ host: at.host, port }),
    onDatagram: listener => {
      for (const one of both) one.onDatagram(listener)
    },
    send: (payload, to) => (to.includes(':') ? six : four).send(payload, to),
    lost: () => four.lost() + six.lost(),
    close: () => {
      for (const one of both) one.close()
    }
  }
}

async function bindOne(at: HostPort, onFailure: (err: unknown) => void): Promise<LocalDatagrams> {
  const socket = createSocket(isIPv6(at.host) ? 'udp6' : 'udp4')
  const bound = await bindAt(socket, at)
  // An error of the network about an answer (ECONNREFUSED, for example) ends nothing.
  socket.on('error', onFailure)
  growPortBuffers(socket, BUFFER_BYTES)
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
