import { type Facts, isProblem, type StatusFacts } from './facts.ts'
import { type Finding, fail, ok, unknown, warn } from './finding.ts'

/** The rest of a longer list is counted. */
const NAMES_SHOWN = 5

/** What the agent says about itself. */
export function agentChecks({ status, cliVersion }: Facts): Finding[] {
  if (isProblem(status)) return [fail('agent', status.problem, status.cure)]
  return [
    stateOf(status),
    versionOf(status, cliVersion),
    ...alarmsOf(status),
    ...declaredOf(status),
    clockOf(status),
    certificatesOf(status)
  ]
}

function stateOf({ state, evicted, expired }: StatusFacts): Finding {
  if (state === 'ready') return ok('agent', 'it serves')
  if (state === 'evicted') {
    const cure = 'Let it join anew with a new token and an empty state directory: docs/runbook.md.'
    return fail('agent', `this host is evicted: ${evicted}`, cure)
  }
  if (state === 'expired') {
    const cure = 'Let it reach a host that renews; past the grace it has to join anew: docs/certificates.md.'
    return fail('agent', `this host has no valid certificate: ${expired}`, cure)
  }
  if (state === 'draining') return warn('agent', 'it drains, and takes no new connections', 'warren undrain')
  return warn('agent', `it is ${state}`, 'Wait some seconds; its log says what it waits for.')
}

function versionOf({ version }: StatusFacts, cliVersion: string): Finding {
  if (version === cliVersion) return ok('version', `warren ${version}`)
  const text = `the agent is warren ${version}, this command is ${cliVersion}`
  return warn('version', text, 'Restart the agent, so that both are the installed version: docs/upgrade.md.')
}

function alarmsOf(status: StatusFacts): Finding[] {
  const found: Finding[] = []
  if (status.policyLost) {
    const cure = 'Let this host reach one that has the policy, or restore a backup: docs/backup.md.'
    found.push(fail('policy', 'the policy of this host is lost: nothing is allowed', cure))
  } else if (status.policyVersion === 0n) {
    found.push(warn('policy', 'there is no rule: nothing is allowed', 'warren allow SOURCE DESTINATION'))
  } else found.push(ok('policy', `version ${status.policyVersion} is in force`))
  if (status.policyLeaseMs > 0n) found.push(leaseOf(status))
  const duplicates = [...(status.identityInUse ? ['this host'] : []), ...status.duplicateHosts]
  if (duplicates.length > 0) {
    const cure = 'Stop the clone, empty its state directory and let it join anew.'
    found.push(fail('identity', `two processes use the identity of ${list(duplicates)}`, cure))
  }
  if (status.descriptorAlarm !== '') {
    found.push(
      fail('descriptors', status.descriptorAlarm, 'LimitNOFILE= of the unit, or ulimit -n, before the agent starts.')
    )
  }
  if (status.unannounced !== '') {
    found.push(fail('announcement', `this host is not announced: ${status.unannounced}`, 'docs/runbook.md'))
  }
  const [session] = status.sessionAlarms
  if (session !== undefined) {
    const text = `${status.sessionAlarms.length} sessions, as with ${session.machine}, do not prove renewed certificates`
    found.push(warn('sessions', `${text}: ${session.problem}`, 'Their flows are cut at the end: docs/certificates.md.'))
  }
  return found
}

function leaseOf({ policyLeaseMs, policyUnheardMs, policyWithheld }: StatusFacts): Finding {
  const [boundS, unheardS] = [policyLeaseMs, policyUnheardMs].map(ms => Math.round(Number(ms) / 1_000))
  if (!policyWithheld) return ok('policy lease', `the policy was confirmed ${unheardS} s ago, of ${boundS} s at most`)
  const text = `no host of an admin has confirmed the policy for ${unheardS} s, so this host serves nothing`
  return fail('policy lease', text, 'Start a host of an admin, and let this one reach it: docs/policy-lease.md.')
}

function declaredOf({ reloadProblem, waitingItems }: StatusFacts): Finding[] {
  const found: Finding[] = []
  if (reloadProblem !== '') {
    const text = `the last reload was refused, and the former configuration is in force: ${reloadProblem}`
    found.push(warn('configuration', text, 'warren config check shows every fault; then warren reload.'))
  }
  const [first] = waitingItems
  if (first !== undefined) {
    const text = `${waitingItems.length} services or forwards of files wait, as ${first.name} (${first.place})`
    found.push(warn('declared', `${text}: ${first.problem}`, 'warren status shows all; each is tried again.'))
  }
  return found
}

function clockOf({ clockBehindMs, clockDifferences }: StatusFacts): Finding {
  const [other] = clockDifferences
  if (clockBehindMs === 0n && other !== undefined) {
    const text = `${clockDifferences.length} hosts have other clocks, as ${other.machine} by ${Math.round(Number(other.aheadMs) / 1_000)} s`
    return fail('clock', text, 'Set the clocks of both by NTP; date -u on each says whose is wrong.')
  }
  if (clockBehindMs === 0n) return ok('clock', 'it has not been set back, and no other host differs')
  const text = `the clock is ${Math.round(Number(clockBehindMs) / 1_000)} s behind what the agent has seen`
  return fail('clock', text, 'Set it by NTP; if it is right now: warren clock accept.')
}

function certificatesOf({ certificates }: StatusFacts): Finding {
  const ended = certificates.filter(({ alarm }) => alarm === 'ended')
  const late = certificates.filter(({ alarm }) => alarm !== '' && alarm !== 'ended')
  const [first] = [...ended, ...late]
  if (first === undefined) return ok('certificates', `${certificates.length} are valid and renewed in time`)
  const text = `${first.kind} ${first.subject}: ${first.problem === '' ? 'it is not renewed' : first.problem}`
  const cure = 'warren status shows all of them; docs/certificates.md says what renews each.'
  return ended.length > 0
    ? fail('certificates', `${ended.length} have ended, as ${text}`, cure)
    : warn('certificates', `${late.length} are renewed late, as ${text}`, cure)
}

/** The other hosts, as this one sees them. */
export function memberChecks({ status, members }: Facts): Finding[] {
  if (isProblem(status)) return []
  if (isProblem(members)) return [unknown('members', members.problem, members.cure)]
  const others = members.filter(({ state }) => state !== 'self')
  if (others.length === 0) return [ok('members', 'this host is alone')]
  if (status.connected === 0) {
    const cure = 'Allow TCP to the mesh port (7460) in both directions; warren members shows the hosts.'
    return [fail('members', `none of ${others.length} other hosts is connected`, cure)]
  }
  const suspects = others.filter(({ state }) => state === 'suspect').map(({ machine }) => machine)
  if (suspects.length === 0) return [ok('members', `${others.length} other hosts, connected to ${status.connected}`)]
  const cure = 'Look at warren there; warren members shows since when.'
  return [warn('members', `${suspects.length} of ${others.length} do not answer: ${list(suspects)}`, cure)]
}

/** What the agent has counted. */
export function figureChecks({ status, samples }: Facts): Finding[] {
  if (isProblem(status)) return []
  if (isProblem(samples)) return [unknown('limits', samples.problem, samples.cure)]
  const hits = samples.filter(({ name, value }) => name === 'warren_limit_hits_total' && value > 0)
  const figure = (name: string): number => samples.find(one => one.name === name)?.value ?? 0
  const [open, max] = [figure('warren_process_open_fds'), figure('warren_process_max_fds')]
  return [
    hits.length === 0
      ? ok('limits', 'none was reached since the agent started')
      : warn(
          'limits',
          `reached since the agent started: ${list(hits.map(({ labels, value }) => `${labels['limit']} (${value})`))}`,
          'docs/limits.md says what each protects and how it is set.'
        ),
    ...(status.descriptorAlarm === '' ? [descriptorsOf(open, max)] : [])
  ]
}

const FEW_DESCRIPTORS = 4_096
const FULL_SHARE = 0.8

function descriptorsOf(open: number, max: number): Finding {
  const text = `${open} of ${max} are open`
  const cure = 'LimitNOFILE= of the unit, or ulimit -n, before the agent starts.'
  if (max > 0 && open > max * FULL_SHARE) return fail('descriptors', text, cure)
  return max < FEW_DESCRIPTORS ? warn('descriptors', text, cure) : ok('descriptors', text)
}

function list(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN
  return names.slice(0, NAMES_SHOWN).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
