import type { Clock, Protocol } from '../core/index.ts'
import { type Address, formatAddress } from '../identity/index.ts'
import { type Bundle, type Decision, denyOnError, evaluate } from '../policy/index.ts'
import type { PolicyService } from './policy-service.ts'
import type { Routing } from './routing.ts'

/** Asks the policy about registrations: the only place where this agent allows a connection. */
export class Authorizer {
  readonly #policy: PolicyService
  readonly #routing: Routing
  readonly #clock: Clock

  constructor(policy: PolicyService, routing: Routing, clock: Clock) {
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
      const route = this.#routing.exact(destinationRegistrationId, destination)
      if (route === undefined) {
        return denyOnError(`${formatAddress(destination)} is not registered`, this.#policy.version)
      }
      const { whitelist } = route
      return evaluate(bundle, { source, destination, protocol, whitelist }, this.#clock.wallMs())
    } catch (err) {
      return denyOnError(err instanceof Error ? err.message : String(err), this.#policy.version)
    }
  }
}
