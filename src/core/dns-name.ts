import { ErrorCode, WarrenError } from './errors.ts'

const MAX_LENGTH = 253
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * The one form of a name for certificates: in lower case, and without a dot at its end. Throws INVALID_ARGUMENT for any other text,
 * also for an IP address.
 */
export function dnsName(text: string): string {
  const name = text.toLowerCase().replace(/\.$/, '')
  if (isDnsName(name)) return name
  throw new WarrenError(ErrorCode.InvalidArgument, `"${text.slice(0, 80)}" is no DNS name`, {
    hint: 'Write it as db.example.net; an address of IP or a wildcard cannot be in a certificate of warren.'
  })
}

/** As `dnsName`, and `*.example.net` for every name with one more label. */
export function dnsNamePattern(text: string): string {
  return text.startsWith('*.') ? `*.${dnsName(text.slice(2))}` : dnsName(text)
}

/** Whether a name is that of a pattern, or has exactly one label in the place of its `*`. */
export function coversDnsName(pattern: string, name: string): boolean {
  return pattern === name || (pattern.startsWith('*.') && pattern.slice(1) === name.slice(name.indexOf('.')))
}

/** Throws UNSUPPORTED if an agent that knows no DNS names has ignored those of a registration. */
export function requireDnsNames(asked: readonly string[], given: readonly string[]): void {
  if (asked.length === 0 || given.length > 0) return
  throw new WarrenError(ErrorCode.Unsupported, 'this agent is older, and gives no certificates with DNS names', {
    hint: 'After an upgrade restart the agent: `systemctl restart warren`.'
  })
}

function isDnsName(name: string): boolean {
  const labels = name.split('.')
  // All digits at the end: an address, and no name.
  return name.length <= MAX_LENGTH && labels.every(label => LABEL.test(label)) && !/^\d+$/.test(labels.at(-1) ?? '')
}
