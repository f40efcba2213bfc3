import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { asList, type List, type ListOptions, showList } from '../lists.ts'
import { fields, formatDuration, formatWhen, isHidden, LOST_POLICY, ONLY_LOOPBACK, pairs } from '../output/index.ts'

export function addStatus(program: Command): void {
  asList(program.command('status').description('show the state of this host and its agent')).action(
    async (options: ListOptions, command: Command) => await showList(contextOf(command), STATUS, options)
  )
}

type Status = Awaited<ReturnType<ReturnType<typeof contextOf>['agent']['workload']['getStatus']>>
type StatusView = Omit<Status, '$typeName' | '$unknown'>

const STATUS: List<StatusView> = {
  load: async (agent, options) => fields(await agent.workload.getStatus({}, options)),
  text: status => pairs(describe(status)),
  compared: ({ policyUnheardMs: _, ...status }) => status
}

function describe(status: StatusView): Array<readonly [string, string]> {
  const now = Date.now()
  const roles = [status.authority ? 'admits hosts' : '', status.admin ? 'sets policy' : ''].filter(role => role !== '')
  return [
    ['machine', status.machine],
    ['trust domain', status.trustDomain],
    ['state', [status.state, status.evicted || status.expired].filter(text => text !== '').join(': ')],
    ['role', roles.length === 0 ? 'member' : roles.join(', ')],
    ['members', `${status.members}, connected to ${status.connected}`],
    ['services', `${status.services}, of this host ${status.registrations}`],
    ['flows', `${status.flows} in ${status.sessions} sessions`],
    ['policy', status.policyVersion === 0n ? 'none: nothing is allowed' : `version ${status.policyVersion}`],
    ...(status.policySetVersion === 0n ? [] : [['own policy', `version ${status.policySetVersion}`] as const]),
    ...(status.policyLost ? [['ALARM', LOST_POLICY] as const] : []),
    ...leaseLines(status),
    ...clockLines(status.clockBehindMs),
    ...differenceLines(status.clockDifferences),
    ...duplicateLines(status),
    ...(status.descriptorAlarm === '' ? [] : [['ALARM', status.descriptorAlarm] as const]),
    ...pushLines(status.auditPushes, now),
    ['certificate', formatWhen(Number(status.certificateNotAfterMs), now)],
    ...declaredLines(status),
    ...certificateLines(status.certificates, now),
    ...sessionLines(status.sessionAlarms, now),
    ['mesh', status.meshAddresses.join(' ')],
    ['data', status.dataAddresses.join(' ')],
    ...announcementLines(status),
    ['peer', status.peerId],
    ['started', formatWhen(Number(status.startedAtMs), now)],
    ['agent', `warren ${status.version}, pid ${status.pid}`]
  ]
}

function leaseLines({
  policyLeaseMs,
  policyUnheardMs,
  policyWithheld
}: Pick<Status, 'policyLeaseMs' | 'policyUnheardMs' | 'policyWithheld'>): Array<readonly [string, string]> {
  if (policyLeaseMs === 0n) return []
  const [bound, unheard] = [formatDuration(Number(policyLeaseMs)), formatDuration(Number(policyUnheardMs))]
  if (!policyWithheld) return [['policy lease', `${bound}; the policy was confirmed ${unheard} ago`]]
  const what = `no host of an admin has confirmed the policy for ${unheard}, so this host serves nothing`
  return [['ALARM', `${what} (--policy-lease ${bound}): start a host of an admin, and let this one reach it`]]
}

function pushLines(pushes: Status['auditPushes'], now: number): Array<readonly [string, string]> {
  return pushes.map(({ target, through, behind, failingSinceMs, problem }) => {
    const waiting = `${behind} ${behind === 1n ? 'line waits' : 'lines wait'}`
    if (failingSinceMs === 0n) return ['audit push', `${target} has line ${through}; ${waiting}`]
    const since = formatWhen(Number(failingSinceMs), now)
    return ['ALARM', `audit log not pushed to ${target} since ${since}, ${waiting}: ${problem}`]
  })
}

function clockLines(behindMs: bigint): Array<readonly [string, string]> {
  if (behindMs === 0n) return []
  const what = `the clock of this host was set back, by ${formatDuration(Number(behindMs))}; what has ended stays ended`
  return [['ALARM', `${what}: set the clock, or, if it is right: warren clock accept`]]
}

function differenceLines(differences: Status['clockDifferences']): Array<readonly [string, string]> {
  return differences.map(({ machine, aheadMs }) => {
    const side = aheadMs > 0n ? 'ahead of' : 'behind'
    const distance = formatDuration(Math.abs(Number(aheadMs)))
    const what = `the clock of ${machine} is ${distance} ${side} that of this host, so what one announces is not taken by the other`
    return ['ALARM', `${what}: set the one that is wrong`] as const
  })
}

function duplicateLines({
  identityInUse,
  duplicateHosts
}: Pick<Status, 'identityInUse' | 'duplicateHosts'>): Array<readonly [string, string]> {
  const hint = 'stop the clone, empty its state directory and let it join anew'
  return [
    ...(identityInUse ? [['ALARM', `another process uses the identity of this host: ${hint}`] as const] : []),
    ...duplicateHosts.map(machine => ['ALARM', `two processes use the identity of ${machine}: ${hint}`] as const)
  ]
}

type Announced = Pick<Status, 'leftOutAddresses' | 'leftOutCount' | 'unannounced' | 'dataAddresses'>

function announcementLines({
  leftOutAddresses: shown,
  leftOutCount: count,
  unannounced,
  dataAddresses
}: Announced): Array<readonly [string, string]> {
  const more = count > shown.length ? ` and ${count - shown.length} more` : ''
  const hint = 'other hosts accept 16; choose them with --advertise'
  return [
    ...(isHidden(dataAddresses) ? [['reachable', `by no other host: ${ONLY_LOOPBACK}`] as const] : []),
    ...(count === 0 ? [] : [['left out', `${shown.join(' ')}${more} (${hint})`] as const]),
    ...(unannounced === '' ? [] : [['ALARM', `not announced to others: ${unannounced}`] as const])
  ]
}

type DeclaredStatus = Pick<Status, 'declared' | 'declaredRunning' | 'waitingItems' | 'reloadProblem'>

/** Most waiting items that are shown; --json has up to 64. */
const MAX_WAITING = 8

function declaredLines({
  declared,
  declaredRunning,
  waitingItems,
  reloadProblem
}: DeclaredStatus): Array<readonly [string, string]> {
  const waiting = declared - declaredRunning
  const shown = waitingItems.slice(0, MAX_WAITING)
  return [
    ...(declared === 0 ? [] : [['configured', `${declaredRunning} of ${declared} services and forwards run`] as const]),
    ...shown.map(({ kind, name, place, problem }) => ['WAITING', `${kind} ${name} (${place}): ${problem}`] as const),
    ...(waiting > shown.length ? [['WAITING', `and ${waiting - shown.length} more`] as const] : []),
    ...(reloadProblem === '' ? [] : [['ALARM', `the last reload was refused: ${reloadProblem}`] as const])
  ]
}

type Certificate = Status['certificates'][number]

/** Most SVIDs that are shown, only those with an alarm: a host may have thousands. Those of the host are always shown. */
const MAX_SVIDS = 8
/** Most sessions that are shown with an alarm. `warren flows` shows each flow. */
const MAX_SESSIONS = 8

function certificateLines(all: readonly Certificate[], now: number): Array<readonly [string, string]> {
  const ofHost = all.filter(({ kind }) => kind === 'authority' || kind === 'root')
  const troubled = all.filter(({ kind, alarm }) => alarm !== '' && (kind === 'node' || kind === 'svid'))
  const shown = troubled.slice(0, MAX_SVIDS)
  const more = troubled.length - shown.length
  return [
    ...ofHost.map(one => [one.kind, `${formatWhen(Number(one.notAfterMs), now)}${alarmText(one)}`] as const),
    ...shown.map(one => ['ALARM', `${one.kind} ${one.subject}${alarmText(one)}`] as const),
    ...(more > 0 ? [['ALARM', `and ${more} more certificates`] as const] : [])
  ]
}

type SessionAlarm = Status['sessionAlarms'][number]

function sessionLines(all: readonly SessionAlarm[], now: number): Array<readonly [string, string]> {
  const shown = all.slice(0, MAX_SESSIONS)
  const more = all.length - shown.length
  return [
    ...shown.map(alarm => ['ALARM', sessionText(alarm, now)] as const),
    ...(more > 0 ? [['ALARM', `and ${more} more sessions`] as const] : [])
  ]
}

function sessionText({ role, machine, carrier, flows, cutAtMs, problem }: SessionAlarm, now: number): string {
  const which = `session ${role === 'client' ? 'to' : 'from'} ${machine} (${carrier})`
  const what = `${flows} ${flows === 1 ? 'flow is' : 'flows are'} cut ${formatWhen(Number(cutAtMs), now)}`
  return `${which}: ${what} unless renewed certificates are proved before: ${problem}`
}

function alarmText({ alarm, problem }: Certificate): string {
  if (alarm === '') return ''
  const what = alarm === 'ended' ? 'has ended' : `not renewed, and at most a ${alarm} of its life is left`
  return `; ${what}${problem === '' ? '' : `: ${problem}`}`
}
