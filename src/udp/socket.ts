import type { Socket } from 'node:dgram'

/** How a socket of IPv6 shows an address of IPv4. */
const MAPPED = /^::ffff:(?=\d+\.)/i

export function withoutMapping(address: string): string {
  return address.replace(MAPPED, '')
}

export function isIpv6(socket: Socket): boolean {
  return Reflect.get(socket, 'type') === 'udp6'
}

/**
 * The descriptor of a bound or connected socket; undefined once it is closed, so that the number is never used for what
 * the system opens next. Node keeps it to itself, so it may be undefined for any version of it.
 */
export function descriptorOf(socket: Socket): () => number | undefined {
  const key = Object.getOwnPropertySymbols(socket).find(symbol => symbol.description === 'state symbol')
  const state: unknown = key === undefined ? undefined : Reflect.get(socket, key)
  return () => {
    const handle: unknown = isObject(state) ? Reflect.get(state, 'handle') : undefined
    const fd: unknown = isObject(handle) ? Reflect.get(handle, 'fd') : undefined
    return typeof fd === 'number' && fd >= 0 ? fd : undefined
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
