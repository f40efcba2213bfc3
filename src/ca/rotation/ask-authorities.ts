import { DIAL_STAGGER_MS, ErrorCode, raceStaggered, WarrenError } from '../../core/index.ts'
import type { renewalPb } from '../../wire/index.ts'
import type { RenewalDeps } from './renewal.ts'

/** Over the mesh one authority has this time before the next is asked: each may sign a certificate. */
const MESH_STAGGER_MS = 5_000
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
  const failures: string[] = []
  let refusal: unknown
  const attempt =
    <Name extends string>(name: Name, run: (name: Name, limit: AbortSignal) => Promise<readonly Uint8Array[]>) =>
    async (limit: AbortSignal): Promise<readonly Uint8Array[]> => {
      try {
        return await run(name, limit)
      } catch (err) {
        const error = WarrenError.from(err)
        if (FINAL.includes(error.code)) refusal ??= error
        if (!limit.aborted) failures.push(`${name}: ${error.reason}`)
        throw err
      }
    }
  const attempts = isShutOut
    ? ports().map(port => attempt(port, (address, limit) => askAtPort(address, request, limit)))
    : authorities().map(authority => attempt(authority, (peer, limit) => ask(peer, request, limit)))
  try {
    return await raceStaggered(attempts, isShutOut ? DIAL_STAGGER_MS : MESH_STAGGER_MS, signal, () => {})
  } catch {
    signal.throwIfAborted()
  }
  if (refusal !== undefined) throw refusal
  const tried = failures.length === 0 ? 'none is known' : failures.join('; ')
  throw new WarrenError(ErrorCode.DestinationUnreachable, `no authority renews it (${tried})`)
}
