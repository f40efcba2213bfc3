import type { Startable } from '@libp2p/interface'
import { detach, type Logger, loop, within } from '../../core/index.ts'
import type { OpenSession, Sessions } from '../admission/index.ts'
import type { Pinger } from '../libp2p-shims/index.ts'
import { SILENCE_CHECK_MS, SILENCE_MS, SILENCE_TIMEOUT_MS } from '../limits.ts'

/** Closes a connection unless its other end answers a ping within the time. Never rejects. */
export async function closeIfSilent(
  { peer, raw, secured }: OpenSession,
  { pinger, log, signal }: { readonly pinger: Pinger; readonly log: Logger; readonly signal: AbortSignal },
  timeoutMs: number
): Promise<void> {
  try {
    await within(timeoutMs, [signal], limit => pinger.ping(secured, limit))
  } catch (err) {
    if (signal.aborted || raw.status !== 'open') return
    log.debug('connection is silent', { peer, err })
    raw.abort(new Error('the other side does not answer'))
  }
}

/**
 * Closes connections whose other end has vanished, so that they are dialled again.
 *
 * Only a connection that received nothing for a while is checked. libp2p's own monitor checks every connection every time, each
 * on a new stream; in a large mesh that is most of the work of idle hosts, and their other traffic proves enough.
 */
export function silenceCheck(sessions: Sessions, pinger: Pinger, log: Logger): () => Startable {
  return () => {
    let stopping = new AbortController()
    const check = async (): Promise<void> => {
      const { signal } = stopping
      const silent = sessions.silentFor(SILENCE_MS)
      await Promise.all(silent.map(one => closeIfSilent(one, { pinger, log, signal }, SILENCE_TIMEOUT_MS)))
    }
    return {
      start: () => {
        stopping = new AbortController()
        const { signal } = stopping
        const options = { intervalMs: () => SILENCE_CHECK_MS, signal }
        detach(log, 'silence check', loop(log, 'silence check', options, check), signal)
      },
      stop: () => {
        stopping.abort()
      }
    }
  }
}
