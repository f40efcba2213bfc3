import type { AgentClient } from '../../client/index.ts'
import { ErrorCode, sleep, WarrenError } from '../../core/index.ts'
import type { spiffePb } from '../../wire/index.ts'
import { type PemSvid, toPemSvid } from './pem.ts'

const FIRST_RETRY_MS = 250
const MAX_RETRY_MS = 2_000

/**
 * The identity to write: the one of this SPIFFE ID, or the only one there is.
 *
 * Throws NOT_FOUND, or INVALID_OPTION when there are several and none was chosen.
 */
export function chosen(svids: readonly spiffePb.X509SVID[], spiffeId: string | undefined): PemSvid {
  const ids = [...new Set(svids.map(svid => svid.spiffeId))]
  const found = svids.find(svid => spiffeId === undefined || svid.spiffeId === spiffeId)
  if (found === undefined) {
    throw new WarrenError(ErrorCode.NotFound, `${spiffeId ?? 'an identity'} is not registered for your user`, {
      hint: ids.length === 0 ? '`warren register` registers it.' : `These are: ${ids.join(', ')}.`
    })
  }
  if (spiffeId === undefined && ids.length > 1) {
    throw new WarrenError(ErrorCode.InvalidOption, `your user has ${ids.length} identities`, {
      hint: `Choose one with --id: ${ids.join(', ')}.`
    })
  }
  return toPemSvid(found)
}

/** The identities that are registered for this process or its user, now. */
export async function fetchOnce(agent: AgentClient, signal: AbortSignal): Promise<readonly spiffePb.X509SVID[]> {
  for await (const { svids } of agent.spiffe.fetchX509SVID({}, { signal })) return svids
  throw new WarrenError(ErrorCode.AgentNotRunning, 'the agent ended the call without an answer')
}

export interface FollowOptions {
  /** False: the first call fails where no agent answers. */
  readonly wait: boolean
  readonly say: (text: string) => void
  readonly signal: AbortSignal
}

/**
 * The chosen identity, at once and whenever it is renewed, until `signal` aborts.
 *
 * While there is none, or no agent, it continues to ask and prints each new reason by `say`. Throws only errors that another
 * attempt cannot change, and the first AGENT_NOT_RUNNING without `wait`.
 */
export async function* follow(
  agent: AgentClient,
  spiffeId: string | undefined,
  { wait, say, signal }: FollowOptions
): AsyncGenerator<PemSvid> {
  let told = ''
  let mayMiss = wait
  let retryMs = FIRST_RETRY_MS
  while (!signal.aborted) {
    try {
      for await (const { svids } of agent.spiffe.fetchX509SVID({}, { signal })) {
        mayMiss = true
        yield chosen(svids, spiffeId)
        told = ''
        retryMs = FIRST_RETRY_MS
      }
    } catch (err) {
      if (signal.aborted) return
      const error = WarrenError.from(err)
      if (isFinal(error) || (!mayMiss && error.code === ErrorCode.AgentNotRunning)) throw error
      mayMiss = true
      if (error.reason !== told) say(`waiting: ${error.reason}`)
      told = error.reason
    }
    await sleep(retryMs, signal).catch(() => {})
    retryMs = Math.min(retryMs * 2, MAX_RETRY_MS)
  }
}

function isFinal({ code }: WarrenError): boolean {
  return code === ErrorCode.InvalidOption || code === ErrorCode.InvalidArgument || code === ErrorCode.Unsupported
}
