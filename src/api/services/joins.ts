import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  type JoinTerms,
  type JoinTokens,
  type JoinTrust,
  type JoinTrusts,
  type ListedToken,
  subjectOf,
  type WaitingHosts
} from '../../ca/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { RuleChange } from '../../events/index.ts'
import { parseMachineName } from '../../identity/index.ts'
import type { adminPb } from '../../wire/index.ts'
import type { AdminHandlers } from '../index.ts'

export interface JoinHandlersDeps {
  readonly joins: {
    readonly tokens: Pick<JoinTokens, 'create' | 'list' | 'show' | 'revoke' | 'invitation'>
    readonly waiting: Pick<WaitingHosts, 'list' | 'decide'>
    readonly trusts: Pick<JoinTrusts, 'list' | 'addCa' | 'addOidc' | 'remove'>
  }
  /** Called after this host has changed who may join, with the command, its subject and its user. */
  readonly onRuleChange: (change: RuleChange, subject: string, uid: number) => void
  readonly nowMs: () => number
}

type Names =
  | 'createToken'
  | 'listTokens'
  | 'revokeToken'
  | 'getToken'
  | 'listWaiting'
  | 'admit'
  | 'trustCa'
  | 'trustOidc'
  | 'listJoinTrusts'
  | 'removeJoinTrust'
  | 'invite'

/** The handlers of admin.sock for tokens, hosts that wait, and the ways to join without a token. */
export function joinHandlers({ joins, onRuleChange, nowMs }: JoinHandlersDeps): Pick<AdminHandlers, Names> {
  const { tokens, waiting, trusts } = joins
  return {
    async createToken({ uses, ...request }, { uid }) {
      const { token, id, expiresAtMs } = tokens.create({ ...request, uses: uses === 0 ? 1 : uses, uid })
      return { token, id, expiresAtMs: BigInt(expiresAtMs) }
    },

    listTokens: async () => ({ tokens: tokens.list().map(token => tokenMessage(token, nowMs())) }),

    revokeToken: async ({ id }, { uid }) => ({ token: tokenMessage(tokens.revoke(id, uid), nowMs()) }),

    async getToken({ id }) {
      const { token, uses } = tokens.show(id)
      return {
        token: tokenMessage(token, nowMs()),
        uses: uses.map(({ machine, peer, remote, usedAtMs }) => ({
          machine,
          peerId: peer,
          remote,
          usedAtMs: BigInt(usedAtMs)
        }))
      }
    },

    listWaiting: async () => ({ hosts: waiting.list().map(waitingMessage) }),

    async admit({ machine, refuse }, { uid }) {
      const host = waiting.decide(parseMachineName(machine), refuse ? 'refused' : 'admitted')
      onRuleChange(refuse ? 'refuse-host' : 'admit', machine, uid)
      return { host: waitingMessage(host) }
    },

    async trustCa({ pem, nameFrom, terms }, { uid }) {
      const trust = trusts.addCa(pem, nameFrom, termsOf(terms))
      onRuleChange('add-join-trust', `${trust.id} ${subjectOf(trust)}`, uid)
      return { trust: trustMessage(trust) }
    },

    async trustOidc({ terms, ...request }, { uid }) {
      const trust = trusts.addOidc({ ...request, terms: termsOf(terms) })
      onRuleChange('add-join-trust', `${trust.id} ${subjectOf(trust)}`, uid)
      return { trust: trustMessage(trust) }
    },

    listJoinTrusts: async () => ({ trusts: trusts.list().map(trustMessage) }),

    async removeJoinTrust({ id }, { uid }) {
      const trust = trusts.remove(id)
      onRuleChange('remove-join-trust', `${trust.id} ${subjectOf(trust)}`, uid)
      return { trust: trustMessage(trust) }
    },

    invite: async () => ({ invitation: tokens.invitation() })
  }
}

function termsOf(terms: adminPb.JoinTerms | undefined): JoinTerms {
  if (terms === undefined) throw new WarrenError(ErrorCode.InvalidArgument, 'the terms of the trust are missing')
  const { name, scopes, ephemeral, needsApproval, from } = terms
  return { name, scopes, ephemeral, needsApproval, from }
}

function trustMessage(trust: JoinTrust): MessageInitShape<typeof adminPb.JoinTrustSchema> {
  const { id, kind, nameFrom, terms, createdAtMs } = trust
  const { name, scopes, ephemeral, needsApproval, from } = terms
  return {
    id,
    kind,
    subject: subjectOf(trust),
    nameFrom: `${nameFrom.field}=${nameFrom.pattern}`,
    terms: { name, scopes: [...scopes], ephemeral, needsApproval, from: [...from] },
    createdAtMs: BigInt(createdAtMs),
    notAfterMs: BigInt(trust.kind === 'ca' ? trust.notAfterMs : 0)
  }
}

function waitingMessage(
  host: ReturnType<WaitingHosts['list']>[number]
): MessageInitShape<typeof adminPb.WaitingHostSchema> {
  const { machine, peer, remote, method, via, askedAtMs, expiresAtMs } = host
  return { machine, peerId: peer, remote, method, via, askedAtMs: BigInt(askedAtMs), expiresAtMs: BigInt(expiresAtMs) }
}

function tokenMessage(token: ListedToken, nowMs: number): MessageInitShape<typeof adminPb.TokenSchema> {
  const { id, machine, uses, used, waiting, lastUsedMs, revokedAtMs, createdAtMs, expiresAtMs } = token
  return {
    id,
    machine,
    scopes: [...token.scopes],
    state: stateOf(token, nowMs),
    createdAtMs: BigInt(createdAtMs),
    expiresAtMs: BigInt(expiresAtMs),
    endedAtMs: BigInt(revokedAtMs ?? (used >= uses ? (lastUsedMs ?? 0) : 0)),
    uses,
    used,
    waiting,
    ephemeral: token.ephemeral ?? false,
    needsApproval: token.needsApproval ?? false,
    from: [...(token.from ?? [])]
  }
}

function stateOf({ used, uses, revokedAtMs, expiresAtMs }: ListedToken, nowMs: number): string {
  if (used >= uses) return 'used'
  if (revokedAtMs !== undefined) return 'revoked'
  return nowMs >= expiresAtMs ? 'expired' : 'open'
}
