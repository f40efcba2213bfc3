import { randomBytes } from 'node:crypto'
import { isIP, type Socket } from 'node:net'
import { connectTcp, ErrorCode, WarrenError, within } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { whyNotPunched } from './candidates.ts'
import type { LocalEnd } from './connect.ts'
import type { PunchDeps } from './deps.ts'
import { type Answer, decodeAnswer, encodeAsk, encodePreamble, proofOf, TOKEN_BYTES } from './format.ts'
import { OBSERVE_TIMEOUT_MS, PUNCH_ASK_TIMEOUT_MS } from './limits.ts'

/** What both hosts know at the moment at which they must connect. */
export interface Meeting extends Answer {
  readonly local: LocalEnd
  /** The member that arranged it. */
  readonly member: PeerKey
  /** Closes the connection that showed where this host comes from; until then the NAT keeps the port. */
  readonly close: () => void
}

export interface Meet {
  readonly member: PeerKey
  /** The other host. */
  readonly peer: PeerKey
  /** The invitation that is followed. */
  readonly attempt?: string
}

/**
 * Shows a member from which address a bound port of this host comes, and resolves at the moment at which both hosts must connect.
 *
 * Rejects with DESTINATION_UNREACHABLE, the member's refusal or the reason of the signal.
 */
export async function meet(
  { member, peer, attempt }: Meet,
  deps: Pick<PunchDeps, 'peer' | 'ask' | 'dataPortsOf'>,
  signal: AbortSignal
): Promise<Meeting> {
  const [end] = deps.dataPortsOf(member)
  if (end === undefined) throw unreachable('its data port is not known')
  const localAddress = isIP(end.host) === 6 ? '::' : '0.0.0.0'
  const socket = await within(OBSERVE_TIMEOUT_MS, [signal], limit =>
    connectTcp({ ...end, localAddress, noDelay: true }, limit)
  ).catch((cause: unknown) => {
    signal.throwIfAborted()
    throw unreachable('its data port does not answer', cause)
  })
  keepOpen(socket)
  try {
    const token = randomBytes(TOKEN_BYTES)
    const { localPort } = socket
    if (localPort === undefined) throw unreachable('the connection to its data port was lost')
    socket.write(encodePreamble(proofOf(token, deps.peer, member)))
    const answer = await within(PUNCH_ASK_TIMEOUT_MS, [signal], async limit =>
      decodeAnswer(await deps.ask(member, encodeAsk({ peer, token, localPort, attempt }), limit))
    )
    const why = whyNotPunched(answer.other, end.host)
    if (why !== undefined) throw unreachable(`it names ${answer.other.host} for the other host: ${why}`)
    return { ...answer, local: { localAddress, localPort }, member, close: () => socket.destroy() }
  } catch (err) {
    socket.destroy()
    throw err
  }
}

function keepOpen(socket: Socket): void {
  socket.on('error', () => {})
  socket.resume()
}

function unreachable(reason: string, cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.DestinationUnreachable, reason, { cause })
}
