import type { ClientHttp2Session } from 'node:http2'
import { within } from '../../core/index.ts'
import { LANE_CUTS_PATH, LaneCuts } from '../fastpath/index.ts'
import { LANE_TIMEOUT_MS } from '../timing.ts'
import { ask } from './ask.ts'

/** Asks the other agent to keep lanes of this session. Rejects with its refusal, or if it does not answer. */
export async function askForCuts(
  session: ClientHttp2Session,
  onCut: (laneId: number, number: number, code: number) => void
): Promise<LaneCuts> {
  const headers = { ':method': 'POST', ':scheme': 'https', ':path': LANE_CUTS_PATH }
  return await within(LANE_TIMEOUT_MS, [], async signal => {
    return new LaneCuts(await ask(session, headers, signal).answered, onCut)
  })
}
