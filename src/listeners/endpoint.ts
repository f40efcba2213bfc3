import { ErrorCode, formatHostPort, type HostPort, parseHostPort, WarrenError } from '../core/index.ts'

export type Endpoint = ({ readonly kind: 'tcp' } & HostPort) | { readonly kind: 'unix'; readonly path: string }

/** Parses `unix:PATH`, or HOST:PORT as `parseHostPort` does; the default host is the loopback. */
export function parseEndpoint(option: string, text: string): Endpoint {
  if (!text.startsWith('unix:')) return { kind: 'tcp', ...parseHostPort(text, { option }) }
  const path = text.slice('unix:'.length)
  if (path === '' || path.includes('\0')) {
    throw new WarrenError(ErrorCode.InvalidArgument, `${option} "${text.slice(0, 80)}" names no socket`, {
      hint: 'Write it as unix:/run/user/1000/app.sock.'
    })
  }
  return { kind: 'unix', path }
}

/** As a person would type it. */
export function formatEndpoint(endpoint: Endpoint): string {
  return endpoint.kind === 'unix' ? `unix:${endpoint.path}` : formatHostPort(endpoint)
}
