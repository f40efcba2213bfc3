import { DatagramForwarder, type DatagramForwarderOptions, type ListenerSockets } from '../../../listeners/index.ts'

/** A listener for datagrams whose clients this process carries. */
export class OwnDatagrams {
  readonly #options: DatagramForwarderOptions
  #forwarder: DatagramForwarder | undefined

  constructor(options: DatagramForwarderOptions) {
    this.#options = options
  }

  /** Returns where it listens, as a person would type it. Rejects as the sockets do. */
  async listen(sockets: ListenerSockets): Promise<string> {
    const local = await sockets.datagrams(this.#options.onFailure)
    this.#forwarder = new DatagramForwarder(local, this.#options)
    return local.bound
  }

  /** Ends every flow, since their datagrams come from this port. */
  async pause(): Promise<void> {
    await this.#forwarder?.close()
    this.#forwarder = undefined
  }

  async close(): Promise<void> {
    await this.pause()
  }
}
