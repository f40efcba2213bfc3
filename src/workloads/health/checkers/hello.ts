import { once } from 'node:events'
import { raceAbort } from '../../../core/index.ts'
import type { Checker } from './checker.ts'

/** A program of the library ends a connection on which it is asked to. */
export const hello: Checker = {
  name: 'hello',
  canCheck: target => target.kind === 'listen' && target.hello && target.answersProbes === true,
  // The program learns the path that it must listen at by registering: this long it may take to bind.
  startMs: 15_000,
  async check({ target }, { dial, probeFrame }, signal) {
    if (target.kind === 'udp') return
    const socket = await dial(target, signal)
    socket.on('error', () => {})
    try {
      const ended = once(socket, 'end')
      socket.resume()
      socket.write(probeFrame())
      await raceAbort(ended, signal)
    } finally {
      socket.destroy()
    }
  }
}
