import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Ask, HostObservation, Inquiries, Route, Told } from '../../cluster/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { formatAddress, matches, parsePattern } from '../../identity/index.ts'
import { type AdminKey, ruleFrom } from '../../policy/index.ts'
import type { FlowInfo } from '../../proxy/index.ts'
import { type adminPb, create, questionPb } from '../../wire/index.ts'
import { concernedBy, explainedEnds, qualified } from '../explain/ends.ts'
import type { Explainer } from '../explain/here.ts'
import type { AdminHandlers } from '../handlers.ts'
import { type AuditQuestionDeps, auditFor, requireRole } from './audit-question.ts'
import { type EventQuestionDeps, eventsFor } from './event-question.ts'
import { requireNames } from './events.ts'
import { flowMessage, type PolicyCodeDeps, previewDocument, previewRule } from './policy-code.ts'
import { waitMs } from './receipts.ts'
import { serviceView } from './service-list.ts'

export interface ObservationHandlersDeps extends PolicyCodeDeps, EventQuestionDeps, Pick<AuditQuestionDeps, 'audit'> {
  readonly inquiries: Pick<Inquiries, 'observations'>
  readonly machine: string
  readonly flows: () => readonly FlowInfo[]
  /** Every registration of all hosts that is known here. */
  readonly registered: () => readonly Route[]
  /** Why a registration of this host does not serve, if the agent knows. */
  readonly problemOf: (registrationId: string) => string | undefined
  readonly explainer: Explainer
}

/** The call that asks every host what it sees; and what this host tells others. */
export function observationHandlers(deps: ObservationHandlersDeps): Pick<AdminHandlers, 'observe'> {
  const { observations } = deps.inquiries
  observations.answerBy((ask, signer, signal) => tell(deps, ask, signer, signal))
  return {
    async *observe({ ask, timeoutMs }, { share }, signal) {
      const question = questionOf(deps, ask)
      const limits = { timeoutMs: waitMs(timeoutMs), ...concernsOf(deps, question) }
      for await (const { hosts, ...rest } of observations.collect(question, limits, signal)) {
        yield { ...rest, hosts: hosts.map(hostMessage) }
        await share.turn(signal)
      }
    }
  }
}

function concernsOf(deps: ObservationHandlersDeps, ask: Ask): { concerns?: (machine: string) => boolean } {
  return ask.case === 'explain' ? { concerns: concernedBy(deps, ask.value) } : {}
}

function questionOf(deps: ObservationHandlersDeps, ask: adminPb.ObserveRequest['ask']): Ask {
  switch (ask.case) {
    case 'flows':
      return create(questionPb.ObservationQuestionSchema, { ask: { case: 'flows', value: {} } }).ask
    case 'explain': {
      const { source, destination, protocol } = ask.value
      // Before any host is asked.
      parsePattern(destination)
      // What is not registered yet is registered here, as far as this host knows: each host would take it for its own.
      const value = { source: qualified(deps, source), destination, protocol }
      return create(questionPb.ObservationQuestionSchema, { ask: { case: 'explain', value } }).ask
    }
    case 'services':
      if (ask.value.pattern !== '') parsePattern(ask.value.pattern)
      return create(questionPb.ObservationQuestionSchema, { ask }).ask
    case 'events':
      requireNames(ask.value.names)
      return create(questionPb.ObservationQuestionSchema, { ask }).ask
    case 'audit':
    case 'rule':
    case 'policy':
      return create(questionPb.ObservationQuestionSchema, { ask }).ask
    default:
      throw new WarrenError(ErrorCode.InvalidArgument, 'the question is missing')
  }
}

async function tell(
  deps: ObservationHandlersDeps,
  ask: Ask,
  signer: AdminKey | undefined,
  signal: AbortSignal
): Promise<Told | undefined> {
  switch (ask.case) {
    case 'flows':
      return { flows: deps.flows().map(flowMessage) }
    case 'explain':
      return { explained: await explainedEnds(deps, ask.value, signer !== undefined, signal) }
    case 'rule':
      return ask.value.rule === undefined
        ? undefined
        : consequencesOf(await previewRule(deps, ruleFrom(ask.value.rule), { author: signer }))
    case 'policy': {
      const { document, prune } = ask.value
      return document === undefined
        ? undefined
        : consequencesOf(await previewDocument(deps, document, prune, { author: signer }))
    }
    case 'audit':
      return { audit: await auditFor(deps, ask.value, signer, signal) }
    case 'events':
      return { events: eventsFor(deps, ask.value, signer) }
    case 'services':
      return { services: servicesFor(deps, ask.value.pattern, signer) }
    default:
      return undefined
  }
}

/** The registrations of this host. What keeps one from serving may name the user of a port: that is for owners. */
function servicesFor(
  deps: ObservationHandlersDeps,
  text: string,
  signer: AdminKey | undefined
): MessageInitShape<typeof adminPb.ObservedServicesSchema> {
  const problemOf = requireRole(deps, signer) === 'owner' ? deps.problemOf : () => undefined
  const pattern = text === '' ? undefined : parsePattern(text)
  const own = deps
    .registered()
    .filter(({ local, address }) => local && (pattern === undefined || matches(pattern, address)))
  return {
    services: own.map(route => ({
      ...serviceView(formatAddress(route.address), route, {
        suspectedSince: () => undefined,
        problemOf,
        zone: undefined
      }),
      // How near it is, is for who asks to say.
      tier: ''
    })),
    total: own.length
  }
}

function consequencesOf({ consequences }: Pick<Told, 'consequences'>): Told {
  return consequences === undefined ? {} : { consequences }
}

function hostMessage(host: HostObservation): MessageInitShape<typeof adminPb.HostObservationSchema> {
  const { machine, state, sinceMs = 0, problem = '', flows = [], consequences, explained: seen = [] } = host
  const { audit, services, events } = host
  const flowsTotal = host.flowsTotal ?? flows.length + (consequences?.flows?.length ?? 0)
  return {
    machine,
    state,
    sinceMs: BigInt(Math.round(sinceMs)),
    problem,
    flows,
    flowsTotal,
    ...(consequences !== undefined && { consequences }),
    ...(audit !== undefined && { audit }),
    ...(services !== undefined && { services }),
    ...(events !== undefined && { events }),
    connections: seen.map(({ role = '', works = false, undecided = false, steps = [] }) => ({
      role,
      works,
      undecided,
      steps
    }))
  }
}
