import { execFileSync } from 'node:child_process'

/** Headers of IP and of TCP with timestamps, of one segment. */
const HEADER_BYTES = 52

export interface TcpTraffic {
  readonly connections: number
  /** Sent and received since each began, with the headers. */
  readonly bytes: number
}

/** Of the TCP connections that a process has now, as `ss` of iproute2 says. */
export function tcpTrafficOf(pid: number): TcpTraffic {
  const lines = execFileSync('ss', ['-tniHOp', 'state', 'established'], { encoding: 'utf8', maxBuffer: 1 << 26 })
  const own = lines.split('\n').filter(line => line.includes(`pid=${pid},`))
  const sum = (names: RegExp): number =>
    own.reduce((total, line) => {
      for (const [, count] of line.matchAll(names)) total += Number(count)
      return total
    }, 0)
  const segments = sum(/\bsegs_(?:out|in):(\d+)/g)
  return { connections: own.length, bytes: sum(/\bbytes_(?:sent|received):(\d+)/g) + HEADER_BYTES * segments }
}
