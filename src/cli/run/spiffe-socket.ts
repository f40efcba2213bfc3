import { once } from 'node:events'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { AgentClient } from '../../client/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { socketsAt } from '../../listeners/index.ts'
import { StreamForwarder } from '../listeners/stream/forwarder.ts'

export interface SpiffeSocketOptions {
  readonly client: AgentClient
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
 * this process alone, and what else this process registers for its user.
 */
export class SpiffeSocket {
  readonly path: string
  readonly #forwarder: StreamForwarder

  private constructor(path: string, forwarder: StreamForwarder) {
    this.path = path
    this.#forwarder = forwarder
  }

  /** Listens, mode 0600. Rejects with INVALID_ARGUMENT or PERMISSION_DENIED where no socket can be made. */
  static async listen({ client, directory, isOwn, onFailure }: SpiffeSocketOptions): Promise<SpiffeSocket> {
    const path = join(directory, 'spiffe.sock')
    const open = async (caller: Socket, signal: AbortSignal): Promise<Socket> => {
      // Asked before anything is read: it is a question about this moment.
      if (!isOwn(caller)) {
        throw new WarrenError(
          ErrorCode.PermissionDenied,
          'a process that is not of the command came to its SPIFFE socket'
        )
      }
      const agent = client.dial(join(client.runtimeDir, 'spiffe.sock'))
      try {
        await once(agent, 'connect', { signal })
        return agent
      } catch (err) {
        agent.on('error', () => {}).destroy()
        throw err
      }
    }
    const forwarder = new StreamForwarder({ open, keepAliveMs: 0, onFailure })
    await forwarder.listen(socketsAt({ kind: 'unix', path }))
    return new SpiffeSocket(path, forwarder)
  }

  /** Resets every connection, and removes the path. */
  close(): void {
    this.#forwarder.close()
  }
}
