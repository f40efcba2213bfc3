import type { ClientHttp2Session } from 'node:http2'
import { ErrorCode, raceAbort, WarrenError, within } from '../../core/index.ts'
import { codeOf } from '../flow/cut.ts'
import { LANE_CUTS_PATH, LaneCuts } from '../lane/lane-cuts.ts'
import { LANE_TIMEOUT_MS } from '../timing.ts'
import { refusalFrom } from './headers.ts'

/** Asks the other agent to keep lanes of this session. Rejects with its refusal, or if it does not answer. */
export async function askForCuts(
  session: ClientHttp2Session,
  onCut: (laneId: number, number: number, code: number) => void
): Promise<LaneCuts> {
  return await within(LANE_TIMEOUT_MS, [], async signal => {
    const stream = session.request({ ':method': 'POST', ':scheme': 'https', ':path': LANE_CUTS_PATH })
    const answer = Promise.withResolvers<Record<string, unknown>>()
    const cuts = new LaneCuts(stream, onCut)
    stream.once('response', answer.resolve)
    stream.once('close', () =>
      answer.reject(new WarrenError(ErrorCode.DestinationUnreachable, 'its agent closed the session'))
    )
    try {
      const headers = await raceAbort(answer.promise, signal)
      if (headers[':status'] !== 200) throw refusalFrom(headers)
      return cuts
    } catch (err) {
      answer.promise.catch(() => {})
      if (!stream.closed) stream.close(codeOf('link'))
      throw err
    }
  })
}
