import { ErrorCode, WarrenError } from '../core/index.ts'

/** The place of a workload in the mesh: five components. Compared case-sensitively, component by component. */
export interface Address {
  readonly scope: string
  readonly appGroup: string
  readonly appIdentity: string
  readonly resourceGroup: string
  readonly machine: string
}

/** The address that a workload asks for; its agent appends the machine. */
export type LocalName = Omit<Address, 'machine'>

/** Scope of the agents themselves; no workload may register in it. */
export const RESERVED_SCOPE = 'warren'

// A SPIFFE path segment may contain a dot, but a dot would make the dotted form ambiguous.
const COMPONENT = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/
const FORM = '<scope>.<appGroup>.<appIdentity>.<resourceGroup>[.<machine>]'
// https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md#21-trust-domain, with the length limit of a DNS name.
const TRUST_DOMAIN = /^[a-z0-9]([a-z0-9._-]{0,253}[a-z0-9])?$/

/** Whether `value` is valid as one component of an address. */
export function isComponent(value: string): boolean {
  return COMPONENT.test(value)
}

/** Returns `value` if it is a trust domain: lower-case letters, digits, dots, dashes, underscores. Throws INVALID_ARGUMENT. */
export function parseTrustDomain(value: string): string {
  if (!TRUST_DOMAIN.test(value)) {
    throw new WarrenError(ErrorCode.InvalidArgument, `"${clip(value)}" is not a trust domain`, {
      hint: 'Use lower-case letters, digits, dots and dashes, as in example.org.'
    })
  }
  return value
}

/** Returns `value` if it is a valid machine name: one address component. Throws INVALID_ARGUMENT. */
export function parseMachineName(value: string): string {
  if (!isComponent(value)) {
    throw new WarrenError(ErrorCode.InvalidArgument, `"${clip(value)}" is not a machine name`, {
      hint: 'Use 1 to 63 letters, digits, dashes or underscores, beginning with a letter or digit; no dots.'
    })
  }
  return value
}

/** Parses five components. Throws INVALID_ARGUMENT, which names the wrong component. */
export function parseAddress(text: string): Address {
  const parts = components(text)
  if (parts.length !== 5) throw malformed(text, `has ${parts.length} components, not 5`)
  return fromParts(parts)
}

/**
 * Parses the four components of a name on `machine`; a fifth is accepted if it is `machine`.
 *
 * Throws INVALID_ARGUMENT, also for the machine name of another host: a host registers only for its own machine.
 */
export function parseLocalName(text: string, machine: string): Address {
  const parts = components(text)
  if (parts.length !== 4 && parts.length !== 5) throw malformed(text, `has ${parts.length} components, not 4`)
  if (parts.length === 5 && parts[4] !== machine) {
    throw new WarrenError(ErrorCode.InvalidArgument, `"${clip(text)}" names machine ${parts[4]}, this is ${machine}`, {
      hint: 'Leave the machine name out; the agent appends its own.'
    })
  }
  return fromParts([...parts.slice(0, 4), machine])
}

/** The dotted form of an address, which `parseAddress` reads. */
export function formatAddress(address: Address): string {
  const { scope, appGroup, appIdentity, resourceGroup, machine } = address
  return `${scope}.${appGroup}.${appIdentity}.${resourceGroup}.${machine}`
}

/** Whether both are the same place in the mesh. */
export function sameAddress(one: Address, other: Address): boolean {
  return (
    one.scope === other.scope &&
    one.appGroup === other.appGroup &&
    one.appIdentity === other.appIdentity &&
    one.resourceGroup === other.resourceGroup &&
    one.machine === other.machine
  )
}

/** The SPIFFE ID of a workload in `trustDomain`. */
export function spiffeIdOf(trustDomain: string, address: Address): string {
  const { scope, appGroup, appIdentity, resourceGroup, machine } = address
  return `spiffe://${trustDomain}/${scope}/${appGroup}/${appIdentity}/${resourceGroup}/${machine}`
}

/** The SPIFFE ID of the agent of `machine`. */
export function agentSpiffeId(trustDomain: string, machine: string): string {
  return `spiffe://${trustDomain}/${RESERVED_SCOPE}/agent/${machine}`
}

/** The address in the SPIFFE ID of a workload of `trustDomain`; undefined for any other text. */
export function addressOfSpiffeId(trustDomain: string, spiffeId: string): Address | undefined {
  const prefix = `spiffe://${trustDomain}/`
  if (!spiffeId.startsWith(prefix)) return undefined
  const parts = spiffeId.slice(prefix.length).split('/')
  if (parts.length !== 5 || !parts.every(isComponent) || parts[0] === RESERVED_SCOPE) return undefined
  return toAddress(parts)
}

function components(text: string): string[] {
  // Limits the work of the split: the longest legal address has 5 × 63 + 4 characters.
  if (text.length > 319) throw malformed(text, 'is too long')
  return text.split('.')
}

function fromParts(parts: readonly string[]): Address {
  for (const part of parts) {
    if (!isComponent(part)) throw malformed(parts.join('.'), `has an invalid component "${clip(part)}"`)
  }
  if (parts[0] === RESERVED_SCOPE) throw malformed(parts.join('.'), `uses the reserved scope "${RESERVED_SCOPE}"`)
  return toAddress(parts)
}

function toAddress(parts: readonly string[]): Address {
  const [scope = '', appGroup = '', appIdentity = '', resourceGroup = '', machine = ''] = parts
  return { scope, appGroup, appIdentity, resourceGroup, machine }
}

function malformed(text: string, why: string): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, `address "${clip(text)}" ${why}`, {
    hint: `An address is ${FORM}, as in dev.web.nginx.default.`
  })
}

function clip(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
