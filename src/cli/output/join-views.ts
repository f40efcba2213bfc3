import type { adminPb } from '../../wire/index.ts'
import { formatWhen } from './quantities.ts'
import { type Column, table } from './table.ts'
import { fields } from './views.ts'

export type TokenView = Omit<adminPb.Token, '$typeName' | '$unknown'>
export type JoinUseView = Omit<adminPb.JoinUse, '$typeName' | '$unknown'>
export type WaitingView = Omit<adminPb.WaitingHost, '$typeName' | '$unknown'>
export type JoinTrustView = Omit<adminPb.JoinTrust, '$typeName' | '$unknown'>

export function tokenView(token: adminPb.Token): TokenView {
  return fields(token)
}

export function joinUseView(use: adminPb.JoinUse): JoinUseView {
  return fields(use)
}

export function waitingView(host: adminPb.WaitingHost): WaitingView {
  return fields(host)
}

export function joinTrustView(trust: adminPb.JoinTrust): JoinTrustView {
  return fields(trust)
}

export function tokenTable(tokens: readonly TokenView[], nowMs: number): string {
  const columns: Column<TokenView>[] = [
    { title: 'TOKEN', value: token => token.id.slice(0, 12) },
    { title: 'MACHINE', value: token => token.machine },
    { title: 'STATE', value: token => token.state, tone: ({ state }) => (state === 'open' ? 'good' : undefined) },
    {
      title: 'USED',
      value: token => `${token.used}/${token.uses}${token.waiting > 0 ? ` +${token.waiting} wait` : ''}`
    },
    { title: 'SCOPES', value: token => token.scopes.join(',') || 'all', rank: 2 },
    { title: 'TERMS', value: termsOf, rank: 1 },
    { title: 'EXPIRES', value: token => formatWhen(Number(token.expiresAtMs), nowMs) }
  ]
  return table(columns, tokens)
}

export function joinUseTable(uses: readonly JoinUseView[], nowMs: number): string {
  const columns: Column<JoinUseView>[] = [
    { title: 'MACHINE', value: use => use.machine },
    { title: 'PEER', value: use => use.peerId, wide: true },
    { title: 'ADDRESS', value: use => use.remote || '-' },
    { title: 'JOINED', value: use => formatWhen(Number(use.usedAtMs), nowMs) }
  ]
  return table(columns, uses)
}

export function waitingTable(hosts: readonly WaitingView[], nowMs: number): string {
  const columns: Column<WaitingView>[] = [
    { title: 'MACHINE', value: host => host.machine },
    // Not with --wide only: who approves compares it.
    { title: 'PEER', value: host => host.peerId, whole: true },
    { title: 'ADDRESS', value: host => host.remote },
    { title: 'BY', value: host => `${host.method} ${host.via.slice(0, 12)}`, rank: 3 },
    { title: 'ASKED', value: host => formatWhen(Number(host.askedAtMs), nowMs), rank: 2 },
    { title: 'WAITS UNTIL', value: host => formatWhen(Number(host.expiresAtMs), nowMs), rank: 1 }
  ]
  return table(columns, hosts)
}

export function joinTrustTable(trusts: readonly JoinTrustView[], nowMs: number): string {
  const columns: Column<JoinTrustView>[] = [
    { title: 'TRUST', value: trust => trust.id.slice(0, 12) },
    { title: 'KIND', value: trust => trust.kind },
    { title: 'SUBJECT', value: trust => trust.subject },
    { title: 'NAME FROM', value: trust => trust.nameFrom, rank: 1 },
    { title: 'MACHINE', value: trust => trust.terms?.name ?? '', rank: 3 },
    { title: 'SCOPES', value: trust => trust.terms?.scopes.join(',') || 'all' },
    { title: 'TERMS', value: trust => (trust.terms === undefined ? '-' : termsOf(trust.terms)), rank: 2 },
    { title: 'ENDS', value: trust => (trust.notAfterMs === 0n ? '-' : formatWhen(Number(trust.notAfterMs), nowMs)) }
  ]
  return table(columns, trusts)
}

function termsOf(terms: Pick<adminPb.Token, 'ephemeral' | 'needsApproval' | 'from'>): string {
  const all = [
    ...(terms.ephemeral ? ['ephemeral'] : []),
    ...(terms.needsApproval ? ['approval'] : []),
    ...terms.from.map(network => `from ${network}`)
  ]
  return all.join(', ') || '-'
}
