import type { Socket } from 'node:net'
import type { MeshSocket } from '../../../client/index.ts'
import { ErrorCode, WarrenError } from '../../../core/index.ts'
import {
  type Decoded,
  decodeGreeting,
  decodeRequest,
  encodeChoice,
  encodeReply,
  SocksReply,
  type SocksRequest
} from '../../../listeners/index.ts'
import { readExactly } from '../../../wire/index.ts'
import { codesOf } from './codes.ts'
import { HTTP_PORT } from './refused.ts'

/** What a client can ask for. */
export interface SocksServices {
  /** Takes the name that the client says. */
  readonly open: (name: string) => Promise<MeshSocket>
  /** Tells a client that speaks HTTP why it is not connected, and ends its connection, and reports the failure. Never rejects. */
  readonly tell: (err: unknown, name: string) => Promise<void>
  /** Carries datagrams until the client ends, with an answer of its own. `port`: what it says that it sends from. */
  readonly associate: ((port: number) => Promise<void>) | undefined
}

/**
 * Performs the handshake of SOCKS5 with a client, of which nothing has been read yet, and opens the connection that it asks for. If it
 * asks for datagrams, it has been served when this resolves.
 *
 * The client gets the reply that stands for a failure, and its end, before this rejects. One that asks for the port of HTTP gets a page
 * that says why: programs show no text for a number of SOCKS. `reading` bounds only what the client has to send.
 */
export async function serveSocks(
  client: Socket,
  reading: AbortSignal,
  { open, tell, associate }: SocksServices
): Promise<MeshSocket | undefined> {
  const isAcceptable = await readDecoded(client, decodeGreeting, reading)
  client.write(encodeChoice(isAcceptable))
  if (!isAcceptable) {
    client.end()
    throw new WarrenError(ErrorCode.Unsupported, 'a SOCKS client insists on a password', {
      hint: 'Give its program no user name: the kernel says who it is.'
    })
  }
  const request = await readDecoded(client, decodeRequest, reading)
  try {
    if (request.command === 'udp-associate' && associate !== undefined) {
      await associate(request.port)
      return undefined
    }
    const brokered = await open(wanted(request))
    client.write(encodeReply(SocksReply.Succeeded))
    return brokered
  } catch (err) {
    const { command, host, port } = request
    if (command === 'connect' && host.kind === 'name' && port === HTTP_PORT) {
      client.write(encodeReply(SocksReply.Succeeded))
      await tell(err, host.text)
      return undefined
    }
    client.end(encodeReply(replyFor(request, err, associate !== undefined)))
    throw err
  }
}

function wanted({ command, host }: SocksRequest): string {
  if (command !== 'connect') {
    throw new WarrenError(ErrorCode.Unsupported, `the SOCKS command ${command} is not offered`, {
      hint: 'For UDP use `warren forward --udp`.'
    })
  }
  if (host.kind === 'name') return host.text
  throw new WarrenError(
    ErrorCode.Unauthorized,
    `a SOCKS client asks for ${host.text}, and addresses lead nowhere here`,
    {
      hint: 'Let the proxy look names up: socks5h:// in place of socks5://.'
    }
  )
}

function replyFor({ command, host }: SocksRequest, err: unknown, associates: boolean): SocksReply {
  if (command === 'udp-associate' && associates) return codesOf(err).socks
  if (command !== 'connect') return SocksReply.CommandNotSupported
  return host.kind === 'address' ? SocksReply.AddressNotSupported : codesOf(err).socks
}

/** Reads one frame, and nothing behind it. */
async function readDecoded<T>(
  client: Socket,
  decode: (bytes: Uint8Array) => Decoded<T>,
  signal: AbortSignal
): Promise<T> {
  let bytes: Buffer = Buffer.alloc(0)
  for (;;) {
    const decoded = decode(bytes)
    if (decoded.kind === 'done') return decoded.value
    if (decoded.kind === 'malformed')
      throw new WarrenError(ErrorCode.MessageMalformed, `a SOCKS client sent ${decoded.why}`)
    bytes = Buffer.concat([bytes, await readExactly(client, decoded.bytes - bytes.length, signal)])
  }
}
