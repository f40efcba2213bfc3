import type { Socket } from 'node:dgram'
import { readFileSync, readlinkSync } from 'node:fs'
import { datagramDescriptorOf } from '../../core/index.ts'

const TABLES = ['/proc/self/net/udp', '/proc/self/net/udp6']
/** Columns of proc_net_udp(5). */
const INODE = 9
const DROPS = 12

/** Returns a function for the number of datagrams that the kernel dropped at a full receive buffer; 0 where it does not say. */
export function lossesOf(socket: Socket): () => number {
  const descriptor = datagramDescriptorOf(socket)
  let last = 0
  return () => {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${descriptor()}`))?.[1]
      const lines = TABLES.flatMap(table => readFileSync(table, 'utf8').split('\n'))
      const columns = lines.map(line => line.trim().split(/\s+/)).find(found => found[INODE] === inode)
      last = Number(columns?.[DROPS] ?? last)
    } catch {
      // Another system, or the socket is closed.
    }
    return last
  }
}
