import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { World } from './world.ts'

export type Fate = 'pass' | 'drop' | 'twice' | 'late'

/** A network for UDP between a client and a data port, beside `proxyTo` and at the same number. */
export class UdpProxy {
  /** What becomes of a packet. */
  fate: (packet: Buffer, direction: 'up' | 'down') => Fate = () => 'pass'
  readonly seen: Buffer[] = []
  passed = 0
  readonly #outside: Socket
  readonly #inside = new Map<number, Socket>()
  readonly #to: number

  private constructor(outside: Socket, to: number) {
    this.#outside = outside
    this.#to = to
  }

  static async beside(world: World, proxyAddress: string, to: string): Promise<UdpProxy> {
    const [host, port] = proxyAddress.split(':')
    const outside = createSocket('udp4').bind(Number(port), host)
    await once(outside, 'listening')
    const proxy = new UdpProxy(outside, Number(to.split(':')[1]))
    outside.on('message', (packet, from) => proxy.#up(packet, from.port))
    outside.on('error', () => {})
    world.defer(() => {
      outside.close()
      proxy.rebind()
    })
    return proxy
  }

  /** Lets what follows come from new ports, as a NAT that was restarted does. */
  rebind(): void {
    for (const socket of this.#inside.values()) socket.close()
    this.#inside.clear()
  }

  #up(packet: Buffer, client: number): void {
    let socket = this.#inside.get(client)
    if (socket === undefined) {
      socket = createSocket('udp4')
      socket.on('error', () => {})
      socket.on('message', answer =>
        this.#decide(answer, 'down', bytes => this.#outside.send(bytes, client, '127.0.0.1', () => {}))
      )
      this.#inside.set(client, socket)
    }
    const through = socket
    this.#decide(packet, 'up', bytes => {
      if (this.#inside.get(client) === through) through.send(bytes, this.#to, '127.0.0.1', () => {})
    })
  }

  #decide(packet: Buffer, direction: 'up' | 'down', forward: (packet: Buffer) => void): void {
    this.seen.push(packet)
    const fate = this.fate(packet, direction)
    if (fate === 'drop') return
    this.passed += 1
    if (fate === 'late') setTimeout(() => forward(packet), 5 + Math.random() * 20)
    else forward(packet)
    if (fate === 'twice') forward(packet)
  }
}
