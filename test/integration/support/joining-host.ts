import { dialAgent } from '../../../src/ca/membership/dial.ts'
import { WarrenError } from '../../../src/core/index.ts'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  JOIN_ALPN,
  type Joined,
  type JoinOptions,
  join,
  parseJoinToken
} from '../../../src/identity/index.ts'

/** The keys of a host that has none yet. */
export function newKeys(): Pick<JoinOptions, 'peerKey' | 'nodeKey'> {
  return { peerKey: generatePeerKeyPair(), nodeKey: generateSigningKeyPair() }
}

/** Asks a real agent to join, as a host in this process; quicker than a process of its own. */
export async function askToJoin(text: string, name: string, options: Partial<JoinOptions> = {}): Promise<Joined> {
  return await join({
    token: parseJoinToken(text.trim(), 0),
    name,
    ...newKeys(),
    connect: (address, signal) => dialAgent(address, JOIN_ALPN, signal),
    nowMs: Date.now,
    signal: new AbortController().signal,
    ...options
  })
}

/** The outcome of a request to join: the name of the host, or the code and reason of its refusal. */
export async function outcomeOf(joining: Promise<Joined>): Promise<string> {
  return await joining.then(
    ({ node }) => node.machine,
    (err: unknown) => {
      const { code, reason } = WarrenError.from(err)
      return `${code}: ${reason}`
    }
  )
}
