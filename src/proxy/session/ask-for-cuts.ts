import type { ClientHttp2Session } from 'node:http2'
import { within } from '../../core/index.ts'
import { FAST_PATH_CUTS_PATH, FastPathCuts } from '../fastpath/index.ts'
import { FAST_PATH_TIMEOUT_MS } from '../timing.ts'
import { ask } from './ask.ts'

/**
 * Asks the other agent to pool fast-path connections of this session. Rejects with its refusal, or if it does not
 * answer.
 */
export async function askForCuts(
  session: ClientHttp2Session,
  onCut: (connectionId: number, number: number, code: number) => void
): Promise<FastPathCuts> {
  const headers = { ':method': 'POST', ':scheme': 'https', ':path': FAST_PATH_CUTS_PATH }
  return await within(FAST_PATH_TIMEOUT_MS, [], async signal => {
    return new FastPathCuts(await ask(session, headers, signal).answered, onCut)
  })
}
