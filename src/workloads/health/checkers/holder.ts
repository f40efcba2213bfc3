import type { Checker } from './checker.ts'

/**
 * The port of a UDP server is held by a user who may serve there, as the kernel says. Nothing can be asked of such a server
 * itself: it answers only its own protocol. A server that is away is no failure, since only its clients notice.
 */
export const holder: Checker = {
  name: 'holder',
  canCheck: target => target.kind === 'udp',
  async check({ target }) {
    if (target.kind === 'udp') target.server?.holder()
  }
}
