import { type KeyObject, randomBytes } from 'node:crypto'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  JOIN_ALPN,
  type JoinOptions,
  type JoinToken,
  join,
  keyToPem,
  type PeerKey,
  peerKeyOf,
  rawPublicKey
} from '../../identity/index.ts'
import { type Vault, VaultFile } from '../../state/index.ts'
import { encodeChain } from './chain-file.ts'
import { readKey } from './credentials.ts'
import { dialAgent } from './dial.ts'

export interface EnterOptions extends Pick<JoinOptions, 'token' | 'proof' | 'name' | 'machine' | 'nowMs' | 'signal'> {
  readonly beforeMember: (peer: PeerKey) => void
  /** Called while the authority holds this host outside. */
  readonly onWaiting?: (reason: string, peer: PeerKey) => void
  /** Called with the addresses of the authority that are dialled, then with each that failed, and why. */
  readonly onDial: (addresses: readonly string[], problem?: string) => void
}

/**
 * Joins the trust domain of a token and writes the membership; returns addresses at which members can be dialled.
 *
 * The keys are on disk before the authority can spend the token for them: a join that is interrupted at any moment is repeated
 * with the same keys, which the authority admits again. The node chain is written last, so there is no partial
 * membership. Throws like `join` of identity.
 */
export async function enter(
  vault: Vault,
  { token, nowMs, signal, beforeMember, onDial, onWaiting, ...options }: EnterOptions
): Promise<readonly string[]> {
  const { peerKey, nodeKey } = hasKeysFor(vault, token) ? readKeys(vault) : makeKeys(vault, token)
  const connect = (address: string, limit: AbortSignal) => dialAgent(address, JOIN_ALPN, limit)
  const peer = peerKeyOf(rawPublicKey(peerKey))
  const waits = onWaiting === undefined ? {} : { onWaiting: (reason: string) => onWaiting(reason, peer) }
  const onFailed = (address: string, reason: string): void => onDial([address], reason)
  onDial(token.authorityAddresses)
  const joined = await join({ ...options, ...waits, token, peerKey, nodeKey, connect, nowMs, onFailed, signal })
  vault.write(VaultFile.RootFingerprint, joined.rootSha256)
  vault.write(VaultFile.NodeSecret, randomBytes(32))
  vault.write(VaultFile.TrustBundle, joined.trustBundle)
  beforeMember(joined.node.peer)
  vault.write(VaultFile.NodeChain, encodeChain(joined.node.chainDer))
  forgetAttempt(vault)
  return joined.meshAddresses
}

/** Whether the keys in this directory were made for this token, by a join that was interrupted. */
export function hasKeysFor(vault: Vault, token: JoinToken): boolean {
  const isNoted = vault.read(VaultFile.JoinAttempt)?.toString('utf8') === attemptOf(token)
  return isNoted && vault.has(VaultFile.PeerKey) && vault.has(VaultFile.NodeKey)
}

// An invitation has no id: it is the same way in as long as it leads to the same root.
function attemptOf({ id, rootSha256 }: JoinToken): string {
  return id === '' ? rootSha256 : id
}

/** Removes the note of the token once the host is a member: its keys are then those of its certificate. */
export function forgetAttempt(vault: Vault): void {
  if (vault.has(VaultFile.JoinAttempt)) vault.remove(VaultFile.JoinAttempt)
}

interface HostKeys {
  readonly peerKey: KeyObject
  readonly nodeKey: KeyObject
}

// The note comes last: with it, both keys are there.
function makeKeys(vault: Vault, token: JoinToken): HostKeys {
  const keys = { peerKey: generatePeerKeyPair(), nodeKey: generateSigningKeyPair() }
  vault.write(VaultFile.PeerKey, keyToPem(keys.peerKey))
  vault.write(VaultFile.NodeKey, keyToPem(keys.nodeKey))
  vault.write(VaultFile.JoinAttempt, attemptOf(token))
  return keys
}

function readKeys(vault: Vault): HostKeys {
  return { peerKey: readKey(vault, VaultFile.PeerKey), nodeKey: readKey(vault, VaultFile.NodeKey) }
}
