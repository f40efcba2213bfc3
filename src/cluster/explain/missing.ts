import { formatAddress, matches, type Pattern } from '../../identity/index.ts'
import { clockText } from '../../registry/index.ts'
import type { LostHost } from '../lost-hosts.ts'
import { afterNoPath } from './next-steps.ts'
import { similar } from './similar.ts'
import { type ExplainDeps, type ExplainStep, MAX_SHOWN, no } from './types.ts'

const SET_CLOCK = 'compare date -u on both, and set the one that is wrong by NTP'

/** Why a destination that is asked for is not there. */
export async function missingSteps(
  deps: ExplainDeps,
  text: string,
  pattern: Pattern,
  signal: AbortSignal
): Promise<ExplainStep[]> {
  const lost = deps
    .lost()
    .filter(({ served }) => served.some(({ address }) => matches(pattern, address)))
    .slice(0, MAX_SHOWN)
  const ended = deps.ended(pattern).slice(0, MAX_SHOWN)
  const clocks = deps.clocks().slice(0, MAX_SHOWN)
  const explained = lost.length + ended.length > 0
  const steps = [
    no('destination', `nothing registered matches ${text}`, explained ? 'see below' : (guess(deps, text) ?? LOOK)),
    ...ended.map(({ address, sinceMs, reason }) => {
      const why = reason === '' ? '' : `: ${reason}`
      const what = `${formatAddress(address)} was registered until ${new Date(sinceMs).toISOString()}${why}`
      return no('destination', what, `on ${address.machine}: start it again (warren expose, serve, or its service)`)
    })
  ]
  for (const host of lost) steps.push(await lostStep(deps, host, signal))
  // It may be registered on a host that is not listened to.
  for (const clock of clocks)
    steps.push(no('clock', `${clockText(clock)}: what one announces is not taken by the other`, SET_CLOCK))
  return steps
}

const LOOK = 'on its host: warren services; if it is there, this host does not see that one: warren members'

/** What the text may have been meant to say. */
function guess(deps: ExplainDeps, text: string): string | undefined {
  const served = deps.known().filter(({ protocols }) => protocols.length > 0)
  const names = text.split('.')
  const elsewhere = [
    ...new Set(served.filter(({ address }) => isNamed(names, formatAddress(address))).map(one => one.machine))
  ]
  if (elsewhere.length > 0) {
    const near = similar(names[4] ?? '', elsewhere) ?? elsewhere[0]
    const member = deps.hosts().some(({ machine }) => machine === names[4])
    const why = member ? `it is not on ${names[4]}` : `no host is named ${names[4]}`
    return `${why}, but on ${elsewhere.slice(0, MAX_SHOWN).join(', ')}: did you mean ${[...names.slice(0, 4), near].join('.')}?`
  }
  const near = similar(
    text,
    served.map(({ address }) => formatAddress(address))
  )
  if (near === undefined) return undefined
  return `did you mean ${names.length === 5 ? near : near.split('.').slice(0, 4).join('.')}? warren services lists all`
}

const isNamed = (names: readonly string[], address: string): boolean =>
  names.length === 5 && address.split('.').slice(0, 4).join('.') === names.slice(0, 4).join('.')

async function lostStep(deps: ExplainDeps, host: LostHost, signal: AbortSignal): Promise<ExplainStep> {
  const { sinceMs, reason, last } = host
  const { machine, peer, dataAddresses } = last
  const when = new Date(sinceMs).toISOString()
  if (reason === 'evicted') {
    const next = `if it is to return: a new token for it, and an empty state directory there (docs/runbook.md)`
    return no('host', `${machine}, which had it, was evicted ${when}`, next)
  }
  if (reason === 'left') {
    return no(
      'host',
      `${machine}, which had it, was stopped ${when}`,
      `on ${machine}: start its agent (systemctl start warren)`
    )
  }
  const address = dataAddresses[0]
  const at = address === undefined ? '' : `, last at ${address}`
  const { ok, text } = await deps.path({ machine, peer, dataAddresses }, signal)
  const silent = `${machine}, which had it, is silent since ${when}${at}`
  if (!ok) return no('host', `${silent}: ${text}`, afterNoPath(machine, text))
  const next = `open TCP 7460 between the hosts, in both directions; on ${machine}: warren doctor`
  return no(
    'host',
    `${silent}, but its agent answers (${text}): what hosts say of themselves is not exchanged with it`,
    next
  )
}
