import { isIP } from 'node:net'
import type { HostPort } from './config.ts'

/** "host:port", with brackets around an IPv6 address. */
export function formatHostPort({ host, port }: HostPort): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}
