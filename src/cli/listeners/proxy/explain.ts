import type { AgentClient } from '../../../client/index.ts'
import { ErrorCode, verdictOf, WarrenError, within } from '../../../core/index.ts'
import { apiPb } from '../../../wire/index.ts'
import { explanation, fields } from '../../output/index.ts'

const EXPLAIN_MS = 3_000
/** Failures that are no matter of the two ends. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  ErrorCode.AgentNotRunning,
  ErrorCode.NotReady,
  ErrorCode.InvalidArgument
])

/**
 * What `warren explain` says of a connection that failed with `err`, or who may ask; undefined where it says nothing. Never
 * rejects.
 */
export async function explainRefusal(
  client: AgentClient,
  err: unknown,
  source: string,
  destination: string,
  signal: AbortSignal
): Promise<string | undefined> {
  if (ELSEWHERE.has(WarrenError.from(err).code)) return undefined
  const heading = `warren explain ${source} ${destination}`
  const question = { source, destination, protocol: apiPb.Protocol.TCP }
  try {
    const answer = await within(EXPLAIN_MS, [signal], limit => client.admin.explain(question, { signal: limit }))
    return `${heading}\n\n${explanation(verdictOf(answer), answer.steps.map(fields))}`
  } catch (failure) {
    if (!WarrenError.is(failure, ErrorCode.PermissionDenied)) return undefined
    return `The checks, for the operator of this host:\n\n  ${heading}`
  }
}
