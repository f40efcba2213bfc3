import type { Clock, Protocol } from '../core/index.ts'
import { type Address, formatAddress } from '../identity/index.ts'
import { type Bundle, type Decision, Decisions, denyOnError, denyWithheld } from '../policy/index.ts'
import type { PolicyLease } from './lease/index.ts'
import type { PolicyService } from './policy-service.ts'
import type { Routing } from './routing.ts'

/** The policy in force, and whether this host may act on it. */
export type PolicyHere = Pick<PolicyService, 'bundle' | 'version'> & {
  readonly sets: { readonly lease: Pick<PolicyLease, 'withheld'> }
}

/** Asks the policy about registrations: the only place where this agent allows a connection. */
export class Authorizer {
  readonly #policy: PolicyHere
  readonly #routing: Pick<Routing, 'exact'>
  readonly #clock: Pick<Clock, 'wallMs'>
  readonly #decisions = new Decisions()

  constructor(policy: PolicyHere, routing: Pick<Routing, 'exact'>, clock: Pick<Clock, 'wallMs'>) {
    this.#policy = policy
    this.#routing = routing
    this.#clock = clock
  }

  /** Never throws: a question that cannot be decided is denied. `bundle`: @default the policy in force */
  authorize(
    question: {
      readonly source: Address
      readonly destination: Address
      readonly destinationRegistrationId: string
      readonly protocol: Protocol
    },
    bundle: Bundle | undefined = this.#policy.bundle
  ): Decision {
    const { source, destination, destinationRegistrationId, protocol } = question
    try {
      const { withheld } = this.#policy.sets.lease
      if (withheld !== undefined) return denyWithheld(withheld, this.#policy.version)
      const route = this.#routing.exact(destinationRegistrationId, destination)
      if (route === undefined) {
        return denyOnError(`${formatAddress(destination)} is not registered`, this.#policy.version)
      }
      // It is the same address, by an object that stays as long as the registration.
      const { whitelist, address } = route
      const asked = { source, destination: address, protocol, whitelist }
      return this.#decisions.decide(bundle, asked, this.#clock.wallMs())
    } catch (err) {
      return denyOnError(err instanceof Error ? err.message : String(err), this.#policy.version)
    }
  }
}
