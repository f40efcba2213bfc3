/** What packages of all kinds say of themselves. */
export const SUMMARY = 'mesh agent: workload identity, discovery and brokered sockets'

export const DESCRIPTION: readonly string[] = [
  'One agent on each host, and no servers. Agents find each other, attest local',
  'processes by the kernel, and connect workloads through unix sockets, in mutual',
  'TLS between SPIFFE identities, under a policy that denies by default.'
]

/** Of a package that nobody answers for: a name of RFC 2606, which nobody can have. */
export const NO_MAINTAINER = 'whoever built this package <nobody@warren.invalid>'

/** Checks what a builder gave for `Maintainer`. Throws with an example. */
export function readMaintainer(text: string): string {
  if (/^[^<>\p{Cc}]+ <[^<>@\s]+@[^<>@\s]+>$/u.test(text)) return text
  throw new Error(`"${text}" is no maintainer; give one as "Ops of Example <ops@example.org>"`)
}

/** A version as packages order it: dpkg and rpm take what follows a tilde for earlier than without it. */
export function packageVersion(version: string): string {
  return version.replace('-', '~').replaceAll('-', '.')
}
