import type { PeerKey } from '../identity/index.ts'
import { compareAge } from './head.ts'
import { MAX_COUNTER } from './limits.ts'
import { type Effect, encodeAck } from './message.ts'
import type { RegistryState } from './state.ts'

/**
 * Notifies a peer that is behind its own past of the newest state that we held of it.
 *
 * A host with an old disk and an old clock begins below its own high-water marks here. While another host holds its past, it
 * finds that past by synchronisation; once the past has ended everywhere, only this message keeps it from being ignored for
 * good. The same applies to a host in quarantine, which is ignored until it has a greater epoch.
 */
export function requestMissing(
  state: RegistryState,
  peer: PeerKey,
  said: { readonly epoch: bigint; readonly seq: bigint }
): Effect[] {
  if (peer === state.own.peer || state.entries.has(peer)) return []
  const quarantine = state.quarantines.get(peer)
  if (quarantine !== undefined && said.epoch <= quarantine.epoch)
    return [missingRequest(peer, quarantine.epoch, MAX_COUNTER)]
  const highWaterMark = state.highWaterMarks.get(peer)
  return highWaterMark === undefined || compareAge(said, highWaterMark) >= 0
    ? []
    : [missingRequest(peer, highWaterMark.epoch, highWaterMark.seq)]
}

function missingRequest(to: PeerKey, epoch: bigint, seq: bigint): Effect {
  return { type: 'send-ack', to, bytes: encodeAck(epoch, seq), epoch, seq }
}
