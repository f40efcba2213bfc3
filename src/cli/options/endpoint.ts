import { ErrorCode, WarrenError } from '../../core/index.ts'

export interface HostPort {
  readonly host: string
  readonly port: number
}

export type Endpoint = ({ readonly kind: 'tcp' } & HostPort) | { readonly kind: 'unix'; readonly path: string }

const HOST_PORT = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]*)):(\d{1,5})$/

/** Parses `host:port`, `[v6]:port` or `:port`. Throws INVALID_ARGUMENT that names `option` and shows the right form. */
export function parseHostPort(option: string, text: string, defaultHost: string): HostPort {
  const match = HOST_PORT.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) {
    throw new WarrenError(ErrorCode.InvalidArgument, `${option} "${text.slice(0, 80)}" is not HOST:PORT`, {
      hint: 'Write it as 127.0.0.1:8080 or [::1]:8080; port 0 picks a free one.'
    })
  }
  const host = match[1] ?? match[2] ?? ''
  return { host: host === '' ? defaultHost : host, port }
}

/** Parses `unix:PATH`, or what `parseHostPort` does; a host left out is this one only. */
export function parseEndpoint(option: string, text: string): Endpoint {
  if (!text.startsWith('unix:')) return { kind: 'tcp', ...parseHostPort(option, text, '127.0.0.1') }
  const path = text.slice('unix:'.length)
  if (path === '' || path.includes('\0')) {
    throw new WarrenError(ErrorCode.InvalidArgument, `${option} "${text.slice(0, 80)}" names no socket`, {
      hint: 'Write it as unix:/run/user/1000/app.sock.'
    })
  }
  return { kind: 'unix', path }
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
