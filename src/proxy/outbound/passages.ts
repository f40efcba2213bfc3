import type { Socket } from 'node:net'
import { accountOf, type LocalUser, sameUser } from '../../attest/index.ts'
import { ErrorCode, Quota, silentMetrics, WarrenError } from '../../core/index.ts'
import { loadPassing, type PassingCalls, passedSockets, takePassed } from '../../listeners/index.ts'
import { limitExceeded, type ProxyLimits } from '../limits.ts'
import type { EndpointDirectory } from './endpoint-socket.ts'
import { type ListenerDeps, type ListenerParts, type ListenerRoute, listenOn } from './listener.ts'
import { Passage, unknownPassage } from './passage.ts'

/** Passed listeners of all users at once, each with a descriptor or two. */
const MAX_PASSED_LISTENERS = 4_096

export interface PassedListenRequest {
  /** What `prepare` returned. */
  readonly path: string
  readonly user: LocalUser
  readonly route: ListenerRoute
  readonly parts: Omit<ListenerParts, 'sockets'>
  readonly signal: AbortSignal
}

/** A listener that a process has bound and passed. */
export interface PassedListener {
  /** Settled when the process has closed its side of the connection over which it passed the listener. */
  readonly left: Promise<void>
  /** Frees the sockets, cuts the flows, and then closes the connection to the process. Idempotent. */
  readonly close: (why: 'left' | 'stopping') => Promise<void>
}

/** Takes over listeners that processes of this host have bound: each over a socket that only the user of the process can use. */
export class Passages {
  readonly #limits: ProxyLimits
  readonly #directory: EndpointDirectory
  readonly #deps: ListenerDeps
  readonly #places: Quota<string>
  /** Processes that are not of the host have half of all at most: root of a container can be any number of users. */
  readonly #outside = new Quota<'outside'>(MAX_PASSED_LISTENERS / 2, MAX_PASSED_LISTENERS / 2)
  readonly #passages = new Map<string, Passage>()
  readonly #pauses = new Set<() => void>()

  constructor(limits: ProxyLimits, directory: EndpointDirectory, deps: ListenerDeps) {
    this.#limits = limits
    this.#directory = directory
    this.#deps = deps
    this.#places = new Quota(limits.listenersPerUid, MAX_PASSED_LISTENERS)
  }

  /**
   * Makes the socket for one listener of `user`, and returns its path. It takes one connection, within a minute.
   *
   * Rejects with UNSUPPORTED where descriptors cannot be passed, LIMIT_EXCEEDED or CANNOT_CONNECT.
   */
  async prepare(user: LocalUser): Promise<string> {
    await requireCalls()
    const release = this.#take(user)
    let path = ''
    const passage = new Passage(user, () => {
      this.#passages.delete(path)
      release()
    })
    try {
      path = await passage.open(this.#directory, connection => this.#isOf(user, connection))
      this.#passages.set(path, passage)
      return path
    } catch (err) {
      passage.end()
      throw err
    }
  }

  /**
   * Makes a listener of the sockets that the user has passed at the path. The caller closes it.
   *
   * Rejects with NOT_FOUND for a path that is not the user's, INVALID_ARGUMENT for what is no listener of the protocol, TIMEOUT, or
   * the reason of the signal.
   */
  async listen({ path, user, route, parts, signal }: PassedListenRequest): Promise<PassedListener> {
    const calls = await requireCalls()
    const passage = this.#passages.get(path)
    if (passage === undefined || !sameUser(passage.user, user)) throw unknownPassage()
    const connection = await passage.claim(signal)
    try {
      const sockets = passedSockets(takePassed(connection, route.protocol, calls))
      const { pause, close } = await listenOn(route, { ...parts, sockets }, this.#deps)
      this.#pauses.add(pause)
      return {
        left: endOf(connection),
        close: async why => {
          this.#pauses.delete(pause)
          await close(
            why === 'left'
              ? { kind: 'reset', text: 'the command that owns its listener has ended' }
              : { kind: 'shutdown', text: 'the agent stops' }
          )
          // Its process may take the port again from now on.
          passage.end()
        }
      }
    } catch (err) {
      passage.end()
      throw err
    }
  }

  /** Leaves the clients of all listeners to the processes that passed them. */
  pause(): void {
    for (const pause of this.#pauses) pause()
  }

  /** Removes the sockets that wait for a connection, and closes the connections. */
  stop(): void {
    for (const passage of this.#passages.values()) passage.end()
  }

  #isOf(user: LocalUser, connection: Socket): boolean {
    try {
      return sameUser(this.#deps.deps.credentials.peerUser(connection), user)
    } catch {
      return false
    }
  }

  #take(user: LocalUser): () => void {
    const share = user.view.isOfHost ? () => {} : this.#outside.take('outside')
    const own = share === undefined ? undefined : this.#places.take(accountOf(user))
    if (share !== undefined && own !== undefined) {
      return () => {
        share()
        own()
      }
    }
    share?.()
    const { listenersPerUid: limit } = this.#limits
    const metrics = this.#deps.deps.metrics ?? silentMetrics
    throw limitExceeded(metrics, 'proxy_listeners_per_uid', 'listeners of this user', limit, { uid: user.uid })
  }
}

// A process that has passed its listener sends nothing more: whatever arrives ends it.
async function endOf(connection: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  connection.once('data', () => resolve())
  connection.once('end', resolve).once('close', resolve).resume()
  await promise
}

async function requireCalls(): Promise<PassingCalls> {
  const calls = await loadPassing()
  if (calls !== undefined) return calls
  throw new WarrenError(ErrorCode.Unsupported, 'this agent cannot take listeners of other processes')
}
