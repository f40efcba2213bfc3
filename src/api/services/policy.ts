import type { MessageInitShape } from '@bufbuild/protobuf'
import type { PolicyService } from '../../cluster/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { RuleChange } from '../../events/index.ts'
import {
  isComponent,
  type PeerKey,
  parseMachineName,
  parsePattern,
  parsePeerKey,
  type Revocation
} from '../../identity/index.ts'
import {
  containerFields,
  type Entry,
  entryFrom,
  limitFields,
  MAX_REVOKED_KEYS,
  type NewRevocation,
  ROOT_NAME
} from '../../policy/index.ts'
import type { adminPb } from '../../wire/index.ts'
import type { AdminHandlers } from '../index.ts'

/** The facts about a machine of this name. */
export interface KnownHost {
  readonly peers: readonly PeerKey[]
  /** Hex SHA-256 of the SubjectPublicKeyInfo of each CA that it may sign with. */
  readonly keys: readonly string[]
}

export interface PolicyHandlersDeps {
  readonly policy: PolicyService
  readonly machine: string
  readonly knownHost: (machine: string) => KnownHost
  /** Hex hashes of the keys of its authority, if it is one: the holder of such a key can admit hosts of any name. */
  readonly authorityKeysOf: (machine: string, signal: AbortSignal) => Promise<readonly string[]>
  /** Names of the members whose certificates are below an authority with one of these keys. */
  readonly hostsBelow: (keys: readonly string[]) => readonly string[]
  readonly revokeTokensOf: (machine: string, uid: number) => void
  /** Called after this host has changed the policy, with the command, its subject and its user. */
  readonly onRuleChange: (change: RuleChange, subject: string, uid: number) => void
  readonly nowMs: () => number
}

type Names = 'restartPolicy' | 'evict' | 'revoke' | 'unrevoke' | 'addEntry' | 'removeEntry' | 'setStrict'

/** The handlers of admin.sock for evictions, and registration entries. */
export function policyHandlers(deps: PolicyHandlersDeps): Pick<AdminHandlers, Names> {
  const { policy, onRuleChange } = deps
  return {
    async evict(request, { uid }, signal) {
      const wanted = eviction(request, deps)
      const authorityKeys = await deps.authorityKeysOf(request.machine, signal)
      const ownKeys = deps.knownHost(deps.machine).keys
      if (policy.isAdmin && authorityKeys.some(key => ownKeys.includes(key)))
        throw belowIt(request.machine, deps.machine)
      const also = deps.hostsBelow(authorityKeys).filter(name => name !== request.machine)
      const revocation = await policy.revoke({ ...wanted, keys: [...(wanted.keys ?? []), ...authorityKeys] })
      // The tokens of this host are revoked at once; other authorities refuse theirs as older than the eviction.
      deps.revokeTokensOf(request.machine, uid)
      onRuleChange('revoke', request.machine, uid)
      return { revocation: revocationMessage(revocation), version: policy.ownVersion, also }
    },

    async revoke({ what, reason }, { uid }) {
      const revocation = await policy.revoke({ ...revoked(what, deps), reason })
      onRuleChange('revoke', what, uid)
      return { revocation: revocationMessage(revocation), version: policy.ownVersion }
    },

    async unrevoke({ id }, { uid }) {
      await policy.unrevoke(id)
      onRuleChange('unrevoke', id, uid)
      return { version: policy.ownVersion }
    },

    async addEntry({ entry }, { uid }) {
      if (entry === undefined) throw new WarrenError(ErrorCode.InvalidArgument, 'the entry is missing')
      const added = await policy.addEntry(entryFrom(entry))
      onRuleChange('add-entry', added.id, uid)
      return { entry: entryMessage(added), version: policy.ownVersion }
    },

    async removeEntry({ id }, { uid }) {
      await policy.removeEntry(id)
      onRuleChange('remove-entry', id, uid)
      return { version: policy.ownVersion }
    },

    async setStrict({ strict }, { uid }) {
      await policy.setStrict(strict)
      onRuleChange('strict', strict ? 'on' : 'off', uid)
      return { version: policy.ownVersion }
    },

    async restartPolicy(_request, { uid }) {
      await policy.restart()
      onRuleChange('restart', String(policy.version), uid)
      return { version: policy.version }
    }
  }
}

function eviction(
  request: adminPb.EvictRequest,
  { policy, machine: own, knownHost }: PolicyHandlersDeps
): NewRevocation {
  const machine = parseMachineName(request.machine)
  if (machine === own) throw ownHost()
  const { peers, keys } = knownHost(machine)
  const { force: again } = request
  const isOut = policy.bundle?.revocations.some(revocation => revocation.machine === machine) === true
  if (peers.length === 0 && !again && !isOut) {
    throw new WarrenError(ErrorCode.NotFound, `no host named ${machine} was ever seen here`, {
      hint: '`warren members` lists the names; --force evicts the name even so.'
    })
  }
  // More than one statement may name, others would refuse: the newest. The name itself refuses what was admitted under it so far.
  return { machine, peers: peers.slice(-MAX_REVOKED_KEYS), keys, reason: request.reason, again }
}

function revoked(what: string, { machine, knownHost }: PolicyHandlersDeps): Omit<NewRevocation, 'reason'> {
  const own = knownHost(machine)
  const key = /^sha256:([0-9a-f]{64})$/i.exec(what)?.[1]?.toLowerCase()
  if (key !== undefined) {
    if (own.keys.includes(key)) throw ownHost()
    return { keys: [key] }
  }
  if (what.includes('.')) return { pattern: parsePattern(what) }
  if (isComponent(what) && what.length < 52) {
    throw new WarrenError(ErrorCode.InvalidArgument, `"${what}" is not a pattern, a PeerId or a key`, {
      hint: 'A host is evicted with `warren evict`; a pattern looks like dev.web.*.default.'
    })
  }
  const peer = parsePeerKey(what)
  if (own.peers.includes(peer)) throw ownHost()
  return { peers: [peer] }
}

function belowIt(machine: string, own: string): WarrenError {
  return new WarrenError(
    ErrorCode.InvalidArgument,
    `the certificate of this very host is below the authority of ${machine}`,
    {
      hint: `Make this host an authority, and try again a few seconds later: warren authority add ${own}`
    }
  )
}

// Nobody would be left who could undo it.
function ownHost(): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, 'this is the very host that signs the policy')
}

/** An entry as the local API shows it. */
export function entryMessage(entry: Entry): MessageInitShape<typeof adminPb.EntrySchema> {
  return {
    id: entry.id,
    machine: entry.machine ?? '',
    ...(entry.uid === undefined ? {} : { uid: entry.uid }),
    user: entry.user ?? '',
    ...(entry.gid === undefined ? {} : { gid: entry.gid }),
    group: entry.group ?? '',
    exePath: entry.exePath ?? '',
    exeSha256: entry.exeSha256 ?? '',
    systemdUnit: entry.systemdUnit ?? '',
    cgroup: entry.cgroup ?? '',
    ...containerFields(entry),
    grants: entry.grants.text,
    reason: entry.reason,
    owner: entry.owner ?? '',
    gateways: [...(entry.gateways ?? [])],
    dnsNames: [...(entry.dnsNames ?? [])],
    createdAtMs: BigInt(entry.createdAtMs),
    by: entry.by ?? ROOT_NAME,
    ...limitFields(entry)
  }
}

/** A revocation as the local API shows it. */
export function revocationMessage(revocation: Revocation): MessageInitShape<typeof adminPb.RevocationSchema> {
  return {
    id: revocation.id,
    machine: revocation.machine ?? '',
    beforeMs: BigInt(revocation.beforeMs),
    peerIds: [...revocation.peers],
    keySha256: [...revocation.keys],
    pattern: revocation.pattern?.text ?? '',
    reason: revocation.reason,
    createdAtMs: BigInt(revocation.createdAtMs),
    by: revocation.by ?? ROOT_NAME
  }
}
