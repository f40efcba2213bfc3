import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { bindAt } from '../listen-at.ts'
import type { HostPort } from '../options/endpoint.ts'
import { type LocalDatagrams, MAX_BACKLOG_BYTES } from './local.ts'

/** A local UDP port. `onFailure` is told what the network says of single datagrams. Rejects as `bindAt`. */
export async function bindUdp(at: HostPort, onFailure: (err: unknown) => void): Promise<LocalDatagrams> {
  const socket = createSocket(isIPv6(at.host) ? 'udp6' : 'udp4')
  const bound = await bindAt(socket, at)
  // What the network answers to an answer (ECONNREFUSED, say) ends nothing.
  socket.on('error', onFailure)
  return {
    bound,
    onDatagram(listener) {
      socket.on('message', (payload, { address, port }) => listener(payload, `${port} ${address}`))
    },
    send(payload, to) {
      if (socket.getSendQueueSize() > MAX_BACKLOG_BYTES) return
      const space = to.indexOf(' ')
      socket.send(payload, Number(to.slice(0, space)), to.slice(space + 1), () => {})
    },
    close: () => socket.close()
  }
}
