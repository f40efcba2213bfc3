import { ErrorCode, raceAbort, WarrenError } from '../../core/index.ts'
import { grpcHealthPb } from '../../wire/index.ts'
import type { HealthHandlers } from '../handlers.ts'

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = grpcHealthPb.HealthCheckResponse_ServingStatus

export interface HealthDeps {
  /** Full names. */
  readonly services: readonly string[]
  readonly isServing: () => boolean
  /** Resolves at the next change of it. */
  readonly changed: () => Promise<void>
}

/** The health check of gRPC, for the server as a whole and for each of its services. */
export function healthHandlers({ services, isServing, changed }: HealthDeps): HealthHandlers {
  const statusOf = (service: string) => {
    if (service !== '' && !services.includes(service)) return SERVICE_UNKNOWN
    return isServing() ? SERVING : NOT_SERVING
  }
  return {
    async check({ service }) {
      const status = statusOf(service)
      if (status !== SERVICE_UNKNOWN) return { status }
      throw new WarrenError(ErrorCode.NotFound, `this socket has no service ${service.slice(0, 100)}`)
    },

    async *watch({ service }, { share }, signal) {
      let shown: number | undefined
      while (!signal.aborted) {
        const change = changed()
        const status = statusOf(service)
        if (status !== shown) yield { status }
        shown = status
        await raceAbort(change, signal)
        await share.turn(signal)
      }
    }
  }
}
