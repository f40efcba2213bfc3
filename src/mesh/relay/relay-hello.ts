import type { Duplex } from 'node:stream'
import { ErrorCode, raceAbort, WarrenError } from '../../core/index.ts'
import { type PeerKey, peerKeyOf, rawKeyOf } from '../../identity/index.ts'

// A host that wants to be relayed sends 32 bytes, the key of the wanted peer; one byte is returned. The relay sends the wanted
// peer 32 bytes, the key of the requesting host, as the relay knows it.
const KEY_BYTES = 32

/** The relay's one byte. Above 0, it closes the stream. */
export const RelayAnswer = { Joined: 0, NoPath: 1, Limit: 2, Refused: 3 } as const
export type RelayAnswer = (typeof RelayAnswer)[keyof typeof RelayAnswer]

/** Writes the 32 bytes of a key. */
export function writeKey(stream: Duplex, peer: PeerKey): void {
  stream.write(rawKeyOf(peer))
}

/** Throws STREAM_TRUNCATED, MESSAGE_MALFORMED, or the signal's reason. */
export async function readKey(stream: Duplex, signal: AbortSignal): Promise<PeerKey> {
  const bytes = await readExactly(stream, KEY_BYTES, signal)
  try {
    return peerKeyOf(Uint8Array.from(bytes))
  } catch (cause) {
    throw new WarrenError(ErrorCode.MessageMalformed, 'this is not a peer key', { cause })
  }
}

/** Resolves when the relay has joined the two; otherwise throws DESTINATION_UNREACHABLE, which names the relay. */
export async function readAnswer(stream: Duplex, middle: string, signal: AbortSignal): Promise<void> {
  const [answer] = await readExactly(stream, 1, signal)
  if (answer === RelayAnswer.Joined) return
  const why =
    answer === RelayAnswer.NoPath
      ? 'does not reach it either'
      : answer === RelayAnswer.Limit
        ? 'cannot relay more streams now'
        : 'refuses to relay'
  throw new WarrenError(ErrorCode.DestinationUnreachable, `${middle} ${why}`)
}

/** Reads exactly this many bytes and leaves the rest in the stream, which can be piped afterwards. */
async function readExactly(stream: Duplex, bytes: number, signal: AbortSignal): Promise<Buffer> {
  let wake = Promise.withResolvers<void>()
  const onChange = (): void => wake.resolve()
  const events = ['readable', 'end', 'close', 'error']
  for (const event of events) stream.on(event, onChange)
  try {
    for (;;) {
      const chunk: Buffer | null = stream.read(bytes)
      if (chunk?.length === bytes) return chunk
      if (chunk !== null || stream.readableEnded || stream.destroyed) {
        throw new WarrenError(ErrorCode.StreamTruncated, 'the stream ended before it was joined')
      }
      await raceAbort(wake.promise, signal)
      wake = Promise.withResolvers<void>()
    }
  } finally {
    for (const event of events) stream.off(event, onChange)
  }
}
