import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import multicastDns, { type MulticastDNS, type QueryPacket, type ResponsePacket } from 'multicast-dns'
import type { Logger } from '../../core/index.ts'

export interface LanResponderOptions {
  readonly interfaceName: string
  readonly family: 'udp4' | 'udp6'
  /** The multicast address of mDNS. */
  readonly group: string
  /** Names the interface to the system: its IPv4 address, or `::%eth0`. */
  readonly via: string
  /** Whether an address is on the network of this interface: each socket receives what came by any of them. */
  readonly isNeighbour: (address: string) => boolean
  readonly serviceTag: string
  readonly addresses: () => readonly string[]
  readonly onFound: (multiaddrs: string[]) => void
  readonly log: Logger
}

const PORT = 5353
const TTL_SECONDS = 120
/** Addresses in one answer, so that it fits into one packet. */
const MAX_ADDRESSES = 8
/** Longest text of a TXT record. */
const MAX_TEXT_BYTES = 255
const PREFIX = 'dnsaddr='

/** Speaks mDNS on one interface, in one family. */
export class LanResponder {
  readonly #options: LanResponderOptions
  readonly #name: string
  readonly #mdns: MulticastDNS
  #failure: string | undefined

  constructor(options: LanResponderOptions) {
    this.#options = options
    this.#name = `${randomBytes(16).toString('hex')}.${options.serviceTag}`
    const { family, group, via } = options
    const socket = createSocket({ type: family, reuseAddr: true, ipv6Only: family === 'udp6' })
    const bind = family === 'udp6' ? '::' : '0.0.0.0'
    this.#mdns = multicastDns({ socket, type: family, ip: group, interface: via, bind, port: PORT })
    this.#mdns.on('query', (query, { address }) => this.#answer(query, address))
    this.#mdns.on('response', (response, { address }) => this.#found(response, address))
    this.#mdns.on('error', (err: Error) => this.#failed(err))
    this.#mdns.on('warning', (err: Error) => {
      // Also what is no DNS message at all, which anybody can send.
      if ('syscall' in err) this.#failed(err)
    })
  }

  /** Asks who is there. */
  ask(): void {
    this.#mdns.query({ questions: [{ name: this.#options.serviceTag, type: 'PTR' }] }, err => {
      if (err !== null && err !== undefined) this.#failed(err)
      else this.#failure = undefined
    })
  }

  close(): void {
    this.#mdns.destroy()
  }

  #answer({ questions = [] }: QueryPacket, from: string): void {
    const { serviceTag, addresses, isNeighbour } = this.#options
    if (questions[0]?.name !== serviceTag || !isNeighbour(from)) return
    const near = (address: string): number => Number(isNeighbour(address.split('/')[2] ?? ''))
    const texts = [...addresses()]
      .sort((a, b) => near(b) - near(a))
      .slice(0, MAX_ADDRESSES)
      .map(address => `${PREFIX}${address}`)
      .filter(text => text.length <= MAX_TEXT_BYTES)
    if (texts.length === 0) return
    const record = { class: 'IN', ttl: TTL_SECONDS } as const
    this.#mdns.respond([
      { ...record, name: serviceTag, type: 'PTR', data: this.#name },
      ...texts.map(data => ({ ...record, name: this.#name, type: 'TXT' as const, data }))
    ])
  }

  #found({ answers = [], additionals = [] }: ResponsePacket, from: string): void {
    const { serviceTag, onFound, isNeighbour } = this.#options
    const pointer = answers.find(({ type }) => type === 'PTR')
    if (pointer?.type !== 'PTR' || pointer.name !== serviceTag || pointer.data === this.#name) return
    if (!isNeighbour(from)) return
    const texts = [...answers, ...additionals].flatMap(record => (record.type === 'TXT' ? [record.data].flat() : []))
    const found = texts.map(String).filter(text => text.startsWith(PREFIX))
    onFound(found.slice(0, 2 * MAX_ADDRESSES).map(text => text.slice(PREFIX.length)))
  }

  #failed(err: Error): void {
    const { interfaceName, via, log } = this.#options
    if (err.message === this.#failure) return
    this.#failure = err.message
    log.warn('mDNS cannot speak on an interface', { component: interfaceName, address: via, reason: err.message })
  }
}
