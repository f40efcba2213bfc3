import { isIPv6 } from 'node:net'
import type { HostPort, WarrenError } from '../core/index.ts'
import type { KernelPortServer } from './port-server.ts'
import type { PortLook, PortServer } from './target.ts'

/**
 * The server of a port of `localhost`, which may listen at 127.0.0.1 or at ::1.
 *
 * The one at 127.0.0.1 is used; if nobody has the port there, or only a user who may not serve it, the one at ::1. Both are
 * checked for the same user, so that nobody else gains by taking the family that the server leaves free.
 */
export class LocalhostServer implements PortServer {
  readonly #four: KernelPortServer
  readonly #six: KernelPortServer
  #current: KernelPortServer

  constructor(four: KernelPortServer, six: KernelPortServer) {
    this.#four = four
    this.#six = six
    this.#current = four
  }

  get problem(): string | undefined {
    return this.#current.problem
  }

  get refusal(): string | undefined {
    return this.#current.refusal
  }

  host(): string {
    return this.#choose().host()
  }

  holder(from?: HostPort): bigint | undefined {
    return (from === undefined ? this.#choose() : this.#of(from)).holder(from)
  }

  meets(from: HostPort, to: HostPort): boolean {
    return this.#of(from).meets(from, to)
  }

  bypassed(): WarrenError {
    return this.#current.bypassed()
  }

  hidden(): WarrenError {
    return this.#current.hidden()
  }

  look(): PortLook {
    return this.#choose().look()
  }

  onChange(listener: () => void): () => void {
    const ends = [this.#four, this.#six].map(server => server.onChange(listener))
    return () => {
      for (const end of ends) end()
    }
  }

  #of({ host }: HostPort): KernelPortServer {
    return isIPv6(host) ? this.#six : this.#four
  }

  #choose(): KernelPortServer {
    this.#current = !this.#four.isServed() && this.#six.isServed() ? this.#six : this.#four
    return this.#current
  }
}
