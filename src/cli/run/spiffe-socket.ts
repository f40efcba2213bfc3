import { once } from 'node:events'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { AgentClient, Registration } from '../../client/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { socketsAt } from '../../listeners/index.ts'
import { StreamForwarder } from '../listeners/stream/forwarder.ts'

export interface SpiffeSocketOptions {
  readonly client: AgentClient
  /** The identity of the command. While it is not live, the agent would give what else is registered for the user. */
  readonly own: Pick<Registration, 'state' | 'closed'>
  /** A directory that nobody but this user may enter. */
  readonly directory: string
  /** Whether who connected is the command, or what it started. May throw: then it is not. */
  readonly isOwn: (socket: Socket) => boolean
  /** Called for each connection that was refused, or could not be made. */
  readonly onFailure: (err: unknown) => void
}

/**
 * A socket of the SPIFFE Workload API for one command: it gives the identities that are registered for this very process, and no
 * others of its user.
 *
 * Each connection is one of this process to the agent, whose bytes are carried unread. So register the identity of the command for
 * this process alone, and what else this process registers for its user. Call `reset` when the registration is lost.
 */
export class SpiffeSocket {
  readonly path: string
  readonly #forwarder: StreamForwarder

  private constructor(path: string, forwarder: StreamForwarder) {
    this.path = path
    this.#forwarder = forwarder
  }

  /** Listens, mode 0600. Rejects with INVALID_ARGUMENT or PERMISSION_DENIED where no socket can be made. */
  static async listen({ client, own, directory, isOwn, onFailure }: SpiffeSocketOptions): Promise<SpiffeSocket> {
    const path = join(directory, 'spiffe.sock')
    const open = async (caller: Socket, signal: AbortSignal): Promise<Socket> => {
      // Asked before anything is read: it is a question about this moment.
      if (!isOwn(caller)) {
        throw new WarrenError(
          ErrorCode.PermissionDenied,
          'a process that is not of the command came to its SPIFFE socket'
        )
      }
      requireLive(own)
      const agent = client.dial(join(client.runtimeDir, 'spiffe.sock'))
      try {
        await once(agent, 'connect', { signal })
        // It may have ended meanwhile.
        requireLive(own)
        return agent
      } catch (err) {
        agent.on('error', () => {}).destroy()
        throw err
      }
    }
    const forwarder = new StreamForwarder({ open, keepAliveMs: 0, onFailure })
    await forwarder.listen(socketsAt({ kind: 'unix', path }))
    const socket = new SpiffeSocket(path, forwarder)
    void own.closed.then(() => socket.close())
    return socket
  }

  /** Resets every connection of this moment. */
  reset(): void {
    this.#forwarder.reset()
  }

  /** Resets every connection, and removes the path. */
  close(): void {
    this.#forwarder.close()
  }
}

function requireLive({ state }: Pick<Registration, 'state'>): void {
  if (state === 'live') return
  throw new WarrenError(ErrorCode.NotReady, 'the command has no identity now: the agent no longer has its registration')
}
