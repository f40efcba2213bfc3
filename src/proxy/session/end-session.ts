import type { Http2Session } from 'node:http2'

/** Time for resets that were just written to leave; a session that cannot be written to is cut after it. */
const GRACE_MS = 250

/** Lets resets already submitted reach the other agent, accepts no new streams, then calls `destroy`. */
export function endSession(session: Http2Session, destroy: () => void): void {
  if (session.destroyed) return
  const timer = setTimeout(destroy, GRACE_MS)
  session.once('close', () => clearTimeout(timer))
  session.close()
}
