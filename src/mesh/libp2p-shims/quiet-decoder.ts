import { generateKeyPair } from '@libp2p/crypto/keys'
import type { ConnectionEncrypter, MessageStream } from '@libp2p/interface'
import type { noise } from '@libp2p/noise'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddrConnectionPair } from '@libp2p/utils'
import type { SelfTest } from './self-test.ts'

/** libp2p takes any RangeError to mean "the rest has not arrived yet". */
const NOT_YET = new RangeError('the length of the next message has not arrived yet')

const LENGTH_BYTES = 2

type DecodeLength = (bytes: { readonly byteLength: number }) => unknown

/**
 * Makes an encrypted connection find out without a new error that nothing is left to read.
 *
 * libp2p's decoder ends each run over the arrived data with a RangeError, for which V8 walks the stack: one for each packet,
 * as expensive as the decryption.
 */
export function quietDecoder<Connection extends MessageStream>(connection: Connection): Connection {
  const found = decoderOf(connection)
  if (found === undefined) return connection
  const { decoder, decode } = found
  const lengthDecoder: DecodeLength = bytes => {
    if (bytes.byteLength < LENGTH_BYTES) throw NOT_YET
    return decode(bytes)
  }
  Object.assign(decoder, { lengthDecoder })
  return connection
}

// noise declares `decoder` private, and its class `lengthDecoder`.
function decoderOf(connection: MessageStream): { decoder: object; decode: DecodeLength } | undefined {
  const decoder: unknown = Reflect.get(connection, 'decoder')
  if (typeof decoder !== 'object' || decoder === null) return undefined
  const decode: unknown = Reflect.get(decoder, 'lengthDecoder')
  return typeof decode === 'function' ? { decoder, decode: bytes => decode(bytes) } : undefined
}

type NoiseComponents = Parameters<ReturnType<typeof noise>>[0]

/** Makes two ends from `encrypter` shake hands in memory, and one send data to the other. */
export function quietDecoderTest(
  encrypter: (components: NoiseComponents) => Pick<ConnectionEncrypter, 'secureInbound' | 'secureOutbound'>,
  { logger }: Pick<NoiseComponents, 'logger'>
): SelfTest {
  return {
    library: '@libp2p/noise',
    without: 'every packet creates an error, which costs processor time',
    isRequired: false,
    run: async signal => {
      const end = async () => {
        const privateKey = await generateKeyPair('Ed25519')
        const upgrader = { getStreamMuxers: () => new Map() } as unknown as NoiseComponents['upgrader']
        return encrypter({ privateKey, peerId: peerIdFromPrivateKey(privateKey), logger, upgrader })
      }
      const [near, far] = multiaddrConnectionPair()
      const [dialler, answerer] = await Promise.all([end(), end()])
      const options = { signal, skipStreamMuxerNegotiation: true }
      try {
        const [outbound, inbound] = await Promise.all([
          dialler.secureOutbound(near, options),
          answerer.secureInbound(far, options)
        ])
        if (decoderOf(inbound.connection) === undefined) return 'an encrypted connection does not show its decoder'
        const heard = new Promise<void>(resolve =>
          quietDecoder(inbound.connection).addEventListener('message', () => resolve(), { once: true })
        )
        outbound.connection.send(Uint8Array.of(1))
        await heard
        return undefined
      } finally {
        near.abort(new Error('tested'))
        far.abort(new Error('tested'))
      }
    }
  }
}
