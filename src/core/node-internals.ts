import type { Socket } from 'node:net'

/**
 * The descriptor of a connected socket of `node:net`. Throws a TypeError where there is none.
 *
 * Node offers it under no public name: `_handle.fd` is read, and every caller has a way without it or denies.
 */
export function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle')
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined
  if (typeof fd !== 'number' || fd < 0) throw new TypeError('the socket has no descriptor')
  return fd
}
