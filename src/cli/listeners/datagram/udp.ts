import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { HostPort } from '../../../core/index.ts'
import { growPortBuffers, udpEndpoint } from '../../../udp/index.ts'
import { MAX_DATAGRAM_BYTES } from '../../../wire/index.ts'
import { bindAt } from '../stream/listen-at.ts'
import type { LocalDatagrams } from './local.ts'
import { Places } from './places.ts'

/** Asked of the kernel, which may give less: at 50,000 datagrams of 512 bytes a second, what comes in 120 ms or more. */
const BUFFER_BYTES = 4 * 1024 * 1024

/** A local UDP port. `onFailure` is told what the network says of single datagrams. Rejects as `bindAt`. */
export async function bindUdp(at: HostPort, onFailure: (err: unknown) => void): Promise<LocalDatagrams> {
  const socket = createSocket(isIPv6(at.host) ? 'udp6' : 'udp4')
  const bound = await bindAt(socket, at)
  // What the network answers to an answer (ECONNREFUSED, say) ends nothing.
  socket.on('error', onFailure)
  growPortBuffers(socket, BUFFER_BYTES)
  const endpoint = udpEndpoint(socket)
  const places = new Places()
  return {
    bound,
    onDatagram: listener =>
      endpoint.listen(MAX_DATAGRAM_BYTES, (payload, from) => listener(payload, places.textOf(from()))),
    send: (payload, to) => void endpoint.send(payload, places.at(to)),
    close: () => endpoint.close()
  }
}
