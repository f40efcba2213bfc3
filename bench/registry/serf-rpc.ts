import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Incomplete, type Packed, pack, Unpacker } from './message-pack.ts'

type Body = { readonly [key: string]: Packed }

interface Expected {
  readonly hasBody: boolean
  readonly resolve: (body: Body) => void
  readonly reject: (err: Error) => void
}

/** One connection to a Serf agent, as its documentation of the RPC protocol says: requests, and streams of events. */
export class SerfRpc {
  readonly #socket: Socket
  readonly #expected = new Map<number, Expected>()
  readonly #streams = new Map<number, (event: Body) => void>()
  #seq = 0
  #rest: Buffer = Buffer.alloc(0)

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('close', () => {
      for (const { reject } of this.#expected.values()) reject(new Error('serf hung up'))
    })
  }

  static async connect(port: number): Promise<SerfRpc> {
    const socket = connect(port, '127.0.0.1').setNoDelay()
    await once(socket, 'connect')
    const rpc = new SerfRpc(socket)
    await rpc.#send('handshake', { Version: 1 }, false)
    return rpc
  }

  async joined(address: string): Promise<void> {
    await this.#send('join', { Existing: [address], Replay: false }, true)
  }

  /** Members that are alive, with their tags; of all or of one name. */
  async members(name?: string): Promise<readonly Body[]> {
    const filter = { Status: 'alive', Tags: {}, ...(name !== undefined && { Name: name }) }
    const { Members } = await this.#send('members-filtered', filter, true)
    return (Members ?? []) as readonly Body[]
  }

  async tag(Tags: Readonly<Record<string, string>>): Promise<void> {
    await this.#send('tags', { Tags, DeleteTags: [] }, false)
  }

  async userEvent(Name: string, Payload: string): Promise<void> {
    await this.#send('event', { Name, Payload, Coalesce: false }, false)
  }

  /** Tells of each user event of that name, by its payload. */
  async onUserEvent(name: string, see: (payload: string) => void): Promise<void> {
    const seq = this.#seq
    this.#streams.set(seq, ({ Payload }) => see(String(Payload)))
    await this.#send('stream', { Type: `user:${name}` }, false)
  }

  close(): void {
    this.#socket.destroy()
  }

  async #send(Command: string, body: Body, hasBody: boolean): Promise<Body> {
    const { promise, resolve, reject } = Promise.withResolvers<Body>()
    this.#expected.set(this.#seq, { hasBody, resolve, reject })
    this.#socket.write(Buffer.concat([pack({ Command, Seq: this.#seq }), pack(body)]))
    this.#seq += 1
    return await promise
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk])
    try {
      for (;;) {
        const unpacker = new Unpacker(this.#rest)
        const { Seq, Error: reason } = unpacker.next() as { Seq: number; Error: string }
        const expected = this.#expected.get(Seq)
        const hasBody = expected === undefined ? this.#streams.has(Seq) : expected.hasBody && reason === ''
        const body = hasBody ? (unpacker.next() as Body) : {}
        this.#rest = this.#rest.subarray(unpacker.at)
        this.#expected.delete(Seq)
        if (expected === undefined) this.#streams.get(Seq)?.(body)
        else if (reason === '') expected.resolve(body)
        else expected.reject(new Error(`serf: ${reason}`))
      }
    } catch (err) {
      if (!(err instanceof Incomplete)) throw err
    }
  }
}
