import { InvalidArgumentError, Option } from 'commander'
import { HEALTH_CHECKS, type HealthCheckName, isHealthCheck } from '../../wire/index.ts'

/** `--health-check`: how the agent checks the server behind an address. With `noHealthCheckOption`, which is `off`. */
export function healthCheckOption(): Option {
  return (
    new Option('--health-check <how>', 'how the agent checks the server (default: auto, by the kind of target)')
      .choices(HEALTH_CHECKS)
      // The choices are for completion: what is asked for stands behind a colon.
      .argParser(parsed)
  )
}

function parsed(text: string): HealthCheckName {
  if (isHealthCheck(text)) return text
  throw new InvalidArgumentError(`Allowed choices are ${HEALTH_CHECKS.join(', ')}.`)
}

export function noHealthCheckOption(): Option {
  return new Option('--no-health-check', 'the same as --health-check off')
}
