import { randomBytes } from 'node:crypto'
import { accountOf } from '../../attest/index.ts'
import { ErrorCode, type Logger, RateLimitedLog, sleep, systemClock, WarrenError } from '../../core/index.ts'
import { toPem } from '../../identity/index.ts'
import type { envoyDiscoveryPb } from '../../wire/index.ts'
import type { Caller } from '../caller.ts'
import type { SecretHandlers } from '../handlers.ts'
import { Arrivals } from './arrivals.ts'
import { keyPairSecret, rootsSecret, SECRET_TYPE } from './secret-messages.ts'
import type { SpiffeDeps } from './spiffe.ts'
import { digest, firstRenewal, type Issued, identitiesOf, issueAll, stateKey } from './spiffe-identities.ts'
import { changeOrTime, type State, unlessEnded, untilRenewal } from './spiffe-states.ts'

export interface SecretDeps extends SpiffeDeps {
  readonly log: Logger
}

type Request = envoyDiscoveryPb.DiscoveryRequest

/** The names of SPIRE, so that a configuration for SPIRE works here. */
const DEFAULT_SVID = 'default'
const ROOTS = ['ROOTCA', 'ALL']
/** A field of Envoy's metadata: its usual validator is to check peers, and not the one for SPIFFE. */
const PLAIN = 'disable_spiffe_cert_validation'
const MAX_NAMES = 128
const MAX_SAID_LENGTH = 200
const NONCE_BYTES = 8
const PAUSE_MS = 100
/** Warnings of answers that a proxy refused, for each user. */
const REFUSALS_PER_UID = { burst: 10, perSecond: 1 / 6, maxKeys: 256 }

/** What a stream has asked for last. */
interface Subscription {
  readonly names: readonly string[]
  readonly isPlain: boolean
}

/** The handlers of Envoy's secret discovery service: the certificates of the caller, and the roots, under names. */
export function secretHandlers(deps: SecretDeps): SecretHandlers {
  const { trustDomain, registrations, svids, roots, changed, nowMs, log } = deps
  const refusals = new RateLimitedLog(log, systemClock, { perKey: REFUSALS_PER_UID })

  const secretsOf = async (
    caller: Caller,
    identities: ReturnType<typeof identitiesOf>,
    { names, isPlain }: Subscription
  ): Promise<State<Resources>> => {
    const issued = await issueAll(svids, identities())
    const bundle = roots()
    return {
      message: () => caller.share.timed(() => resourcesOf({ trustDomain, names, isPlain, issued, bundle })),
      key: digest([stateKey(issued, ...bundle), JSON.stringify([names, isPlain])]),
      renewAtMs: firstRenewal(issued.map(({ svid }) => svid))
    }
  }

  return {
    async *streamSecrets(requests, caller, signal) {
      const arrivals = new Arrivals(requests)
      const conversation = new Conversation(reason =>
        refusals.warn(accountOf(caller), 'a proxy refused its certificates', { uid: caller.uid, reason })
      )
      const own = identitiesOf(registrations, caller)
      while (!signal.aborted) {
        const change = arrivals.orAt(changed())
        const { subscription } = conversation
        const state = subscription && (await unlessEnded(() => secretsOf(caller, own, subscription)))
        if (state !== undefined && conversation.isNews(state.key)) yield conversation.answer(state)
        await changeOrTime(change, untilRenewal(state, nowMs), signal)
        const came = arrivals.take()
        if (came?.done === true) return
        if (came !== undefined) conversation.take(came.value)
        else await sleep(PAUSE_MS, signal)
        await caller.share.turn(signal)
      }
    },

    async fetchSecrets(request, caller) {
      const state = await secretsOf(caller, identitiesOf(registrations, caller), subscriptionOf(request))
      return { resources: state.message(), typeUrl: SECRET_TYPE, versionInfo: state.key }
    }
  }
}

type Resources = ReturnType<typeof rootsSecret>[]

/** What one stream has asked for and was given. */
class Conversation {
  subscription: Subscription | undefined
  readonly #onRefused: (reason: string) => void
  #shown: string | undefined
  #version = 0
  #nonce = ''

  constructor(onRefused: (reason: string) => void) {
    this.#onRefused = onRefused
  }

  /** Takes a request: a subscription, or what became of the last answer. Throws INVALID_ARGUMENT. */
  take(request: Request): void {
    // One about an answer that a later one has replaced says nothing about that one.
    if (this.#nonce !== '' && request.responseNonce !== this.#nonce) return
    if (request.errorDetail !== undefined) {
      const { message } = request.errorDetail
      const names = request.resourceNames.join(' ').slice(0, MAX_SAID_LENGTH)
      this.#onRefused(`${names}: ${message.slice(0, MAX_SAID_LENGTH)}`)
    }
    this.subscription = subscriptionOf(request, this.subscription)
  }

  isNews(key: string): boolean {
    return key !== this.#shown
  }

  answer(state: State<Resources>): { resources: Resources; typeUrl: string; versionInfo: string; nonce: string } {
    const resources = state.message()
    this.#shown = state.key
    this.#version += 1
    this.#nonce = randomBytes(NONCE_BYTES).toString('hex')
    return { resources, typeUrl: SECRET_TYPE, versionInfo: String(this.#version), nonce: this.#nonce }
  }
}

/** Only the first request of a stream must say who asks. Throws INVALID_ARGUMENT. */
function subscriptionOf({ resourceNames, typeUrl, node }: Request, before?: Subscription): Subscription {
  if (typeUrl !== '' && typeUrl !== SECRET_TYPE) {
    throw new WarrenError(ErrorCode.InvalidArgument, `only ${SECRET_TYPE} is served here`)
  }
  const names = [...new Set(resourceNames)].filter(name => name !== '').sort()
  if (names.length > MAX_NAMES) {
    throw new WarrenError(ErrorCode.InvalidArgument, `a stream has at most ${MAX_NAMES} names`)
  }
  const flag = node?.metadata?.[PLAIN]
  const isPlain = flag === undefined ? before?.isPlain === true : flag === true || flag === 'true' || flag === '1'
  return { names, isPlain }
}

interface Asked extends Subscription {
  readonly trustDomain: string
  readonly issued: readonly Issued[]
  readonly bundle: readonly Uint8Array[]
}

/** The secrets of these names, or all if none is named. Throws INVALID_ARGUMENT for a name that is none of the caller's. */
function resourcesOf({ trustDomain, names, isPlain, issued, bundle }: Asked): Resources {
  const domainId = `spiffe://${trustDomain}`
  const all = [domainId, ...issued.map(({ workload }) => workload.spiffeId)]
  return (names.length === 0 ? all : names).map(name => {
    if (name === domainId || ROOTS.includes(name)) {
      return rootsSecret(name, trustDomain, bundle.map(toPem).join(''), isPlain)
    }
    const found = name === DEFAULT_SVID ? issued[0] : issued.find(({ workload }) => workload.spiffeId === name)
    if (found === undefined) throw unknownName(name, all)
    const { certPem, key } = found.svid
    return keyPairSecret(name, certPem, key.export({ format: 'pem', type: 'pkcs8' }).toString())
  })
}

function unknownName(name: string, all: readonly string[]): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, `${name.slice(0, 300)} is no secret of this caller`, {
    hint: `Ask for ${DEFAULT_SVID}, ${ROOTS.join(', ')} or one of: ${all.slice(0, 8).join(', ')}.`
  })
}
