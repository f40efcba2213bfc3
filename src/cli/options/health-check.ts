import { Option } from 'commander'
import { HEALTH_CHECKS } from '../../wire/index.ts'

/** `--health-check`: how the agent checks the server behind an address. With `noHealthCheckOption`, which is `off`. */
export function healthCheckOption(): Option {
  return new Option(
    '--health-check <how>',
    'how the agent checks the server (default: auto, by the kind of target)'
  ).choices(HEALTH_CHECKS)
}

export function noHealthCheckOption(): Option {
  return new Option('--no-health-check', 'the same as --health-check off')
}
