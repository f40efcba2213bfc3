import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Ask, Explanation, HostObservation, Inquiries, Route, Told } from '../../cluster/index.ts'
import { ErrorCode, type Protocol, WarrenError } from '../../core/index.ts'
import { matches, parsePattern } from '../../identity/index.ts'
import { type AdminKey, ruleFrom } from '../../policy/index.ts'
import type { FlowInfo } from '../../proxy/index.ts'
import { type adminPb, apiPb, create, questionPb } from '../../wire/index.ts'
import type { AdminHandlers } from '../handlers.ts'
import { type AuditQuestionDeps, auditFor, requireRole } from './audit-question.ts'
import { flowMessage, type PolicyCodeDeps, previewDocument, previewRule } from './policy-code.ts'
import { waitMs } from './receipts.ts'
import { serviceView } from './views.ts'

export interface ObservationHandlersDeps extends PolicyCodeDeps, Pick<AuditQuestionDeps, 'audit'> {
  readonly inquiries: Pick<Inquiries, 'observations'>
  readonly machine: string
  readonly flows: () => readonly FlowInfo[]
  /** Every registration of all hosts that is known here. */
  readonly registered: () => readonly Route[]
  /** Why a registration of this host does not serve, if the agent knows. */
  readonly problemOf: (registrationId: string) => string | undefined
  readonly explain: (
    source: string,
    destination: string,
    protocol: Protocol,
    signal: AbortSignal
  ) => Promise<Explanation>
}

/** The call that asks every host what it sees; and what this host tells others. */
export function observationHandlers(deps: ObservationHandlersDeps): Pick<AdminHandlers, 'observe'> {
  const { observations } = deps.inquiries
  observations.answerBy((ask, signer, signal) => tell(deps, ask, signer, signal))
  return {
    async *observe({ ask, timeoutMs }, { share }, signal) {
      for await (const { hosts, ...rest } of observations.collect(questionOf(ask), waitMs(timeoutMs), signal)) {
        yield { ...rest, hosts: hosts.map(hostMessage) }
        await share.turn(signal)
      }
    }
  }
}

function questionOf(ask: adminPb.ObserveRequest['ask']): Ask {
  switch (ask.case) {
    case 'flows':
      return create(questionPb.ObservationQuestionSchema, { ask: { case: 'flows', value: {} } }).ask
    case 'explain': {
      const { source, destination, protocol } = ask.value
      // Before any host is asked.
      for (const text of [source, destination]) parsePattern(text)
      const value = { source, destination, protocol }
      return create(questionPb.ObservationQuestionSchema, { ask: { case: 'explain', value } }).ask
    }
    case 'services':
      if (ask.value.pattern !== '') parsePattern(ask.value.pattern)
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
      return { explained: await explained(deps, ask.value, signal) }
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
    services: own.map(route => serviceView(route, { suspectedSince: () => undefined, problemOf })),
    total: own.length
  }
}

function consequencesOf({ consequences }: Pick<Told, 'consequences'>): Told {
  return consequences === undefined ? {} : { consequences }
}

/** What this host sees of a connection whose source, or destination, it has. */
async function explained(
  { machine, registered, explain }: ObservationHandlersDeps,
  { source, destination, protocol: wanted }: questionPb.ExplainQuestion,
  signal: AbortSignal
): Promise<MessageInitShape<typeof questionPb.ExplainedSchema>[]> {
  const protocol = wanted === apiPb.Protocol.UDP ? 'udp' : 'tcp'
  const isHere = (text: string): boolean => {
    const pattern = parsePattern(text)
    const isNamed = text.split('.')[NAME_PARTS] === machine
    return isNamed || registered().some(one => one.machine === machine && matches(pattern, one.address))
  }
  const [isSource, isDestination] = [isHere(source), isHere(destination)]
  if (isSource) return [{ role: 'source', ...plain(await explain(source, destination, protocol, signal)) }]
  if (!isDestination) return []
  // Only the instances of this host: what the others are is for their hosts to say.
  const own = [...destination.split('.').slice(0, NAME_PARTS), machine].join('.')
  return [{ role: 'destination', ...plain(await explain(source, own, protocol, signal)) }]
}

/** Components of an address before the machine. */
const NAME_PARTS = 4

function plain({ works, steps }: Explanation): { works: boolean; steps: Explanation['steps'][number][] } {
  return { works, steps: [...steps] }
}

function hostMessage(host: HostObservation): MessageInitShape<typeof adminPb.HostObservationSchema> {
  const { machine, state, sinceMs = 0, problem = '', flows = [], consequences, explained: seen = [] } = host
  const { audit, services } = host
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
    connections: seen.map(({ role = '', works = false, steps = [] }) => ({ role, works, steps }))
  }
}
