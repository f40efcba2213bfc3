import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { renewalPb } from '../../wire/index.ts'
import type { RenewalDeps } from './renewal.ts'

/** Answers that are the same from every authority and at every time. */
const FINAL: readonly ErrorCode[] = [ErrorCode.Revoked, ErrorCode.RenewalRefused]

/**
 * The renewed chain (DER) of this host, not verified: from its own authority if it holds one, else from the first that answers.
 *
 * A host that the mesh does not admit asks at data ports instead. Rejects with the signal's reason, with an answer that is final
 * (REVOKED, RENEWAL_REFUSED), or with DESTINATION_UNREACHABLE, which quotes the answer of each authority.
 */
export async function askAuthorities(
  {
    renewals,
    authorities,
    ask,
    ports,
    askAtPort
  }: Pick<RenewalDeps, 'renewals' | 'authorities' | 'ask' | 'ports' | 'askAtPort'>,
  isShutOut: boolean,
  request: renewalPb.RenewalRequest,
  signal: AbortSignal
): Promise<readonly Uint8Array[]> {
  if (renewals.isOpen) return await renewals.renew(request, 'self')
  // The mesh carries the request, unless it no longer admits this host.
  const ways = isShutOut
    ? ports().map(address => ({ name: address, run: () => askAtPort(address, request, signal) }))
    : authorities().map(peer => ({ name: peer, run: () => ask(peer, request, signal) }))
  const failures: string[] = []
  let refusal: unknown
  for (const { name, run } of ways) {
    try {
      return await run()
    } catch (err) {
      signal.throwIfAborted()
      const error = WarrenError.from(err)
      if (FINAL.includes(error.code)) refusal ??= error
      failures.push(`${name}: ${error.reason}`)
    }
  }
  if (refusal !== undefined) throw refusal
  const tried = failures.length === 0 ? 'none is known' : failures.join('; ')
  throw new WarrenError(ErrorCode.DestinationUnreachable, `no authority renews it (${tried})`)
}
