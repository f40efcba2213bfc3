import type { HostPort } from '../core/index.ts'
import { parsePeerAddress, socketAddress } from './dialing/index.ts'

/** Where the mesh address of a host leads, without its zone. Throws INVALID_ARGUMENT for any other text, however long. */
export function meshEnd(text: string): HostPort {
  const { host, port } = socketAddress(parsePeerAddress(text).address)
  return { host, port }
}
