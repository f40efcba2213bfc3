import type { Socket } from 'node:net'
import type { LocalUser } from '../../attest/index.ts'
import { ErrorCode, raceAbort, WarrenError, within } from '../../core/index.ts'
import { HELLO_TIMEOUT_MS } from '../timing.ts'
import type { EndpointDirectory, EndpointSocket } from './endpoint-socket.ts'

/** Time for its user to pass the sockets and to call Listen, in milliseconds. */
const PASS_MS = 60_000

/** A unix socket of one user that takes one connection, over which the sockets of one listener are passed. */
export class Passage {
  readonly user: LocalUser
  readonly #connected = Promise.withResolvers<Socket>()
  readonly #timer: NodeJS.Timeout
  readonly #onEnded: () => void
  #socket: EndpointSocket | undefined
  #connection: Socket | undefined
  #isClaimed = false
  #isEnded = false

  /** `onEnded` is called once: when it is ended, or was not claimed in time. */
  constructor(user: LocalUser, onEnded: () => void) {
    this.user = user
    this.#onEnded = onEnded
    this.#connected.promise.catch(() => {})
    this.#timer = setTimeout(() => this.end(), PASS_MS)
  }

  /** Makes the socket, and returns its path. Rejects with CANNOT_CONNECT. */
  async open(directory: EndpointDirectory, isOfUser: (connection: Socket) => boolean): Promise<string> {
    const socket = await directory.open(this.user.uid, connection => {
      connection.on('error', () => {})
      if (this.#connection !== undefined || this.#isEnded || !isOfUser(connection)) {
        connection.destroy()
        return
      }
      this.#connection = connection
      this.#connected.resolve(connection)
    })
    if (this.#isEnded) socket.close()
    else this.#socket = socket
    return socket.path
  }

  /** Returns the connection of its user, once. Rejects with NOT_FOUND, or with TIMEOUT or the reason of the signal: then it is ended. */
  async claim(signal: AbortSignal): Promise<Socket> {
    if (this.#isClaimed || this.#isEnded) throw unknownPassage()
    this.#isClaimed = true
    clearTimeout(this.#timer)
    try {
      return await within(HELLO_TIMEOUT_MS, [signal], limit => raceAbort(this.#connected.promise, limit))
    } catch (err) {
      this.end()
      throw err
    } finally {
      // Not before: its user looks at the path once more after having connected.
      this.#removePath()
    }
  }

  /** Removes the socket and closes the connection. Idempotent. */
  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    clearTimeout(this.#timer)
    this.#removePath()
    this.#connection?.destroy()
    this.#connected.reject(new WarrenError(ErrorCode.Timeout, 'no listener was passed in time'))
    this.#onEnded()
  }

  #removePath(): void {
    this.#socket?.close()
    this.#socket = undefined
  }
}

export function unknownPassage(): WarrenError {
  return new WarrenError(ErrorCode.NotFound, 'no listener is awaited at this path', {
    hint: 'Ask for a path with PrepareListener, and use it once, within a minute.'
  })
}
