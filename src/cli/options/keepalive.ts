import { Option } from 'commander'
import { parseDuration } from '../../core/index.ts'

const DEFAULT = '60s'
const MIN_MS = 1_000
/** The system counts seconds, up to 32,767. */
const MAX_MS = 9 * 3_600_000

/** `--keepalive`: when a silent client is asked whether it is still there. */
export function keepAliveOption(): Option {
  return new Option(
    '--keepalive <time>',
    'time until a silent TCP client is asked whether it is still there; one that does not answer for 10 s is disconnected; 0: never'
  ).default(DEFAULT)
}

/** Milliseconds of `--keepalive`; 0 for never. Throws INVALID_ARGUMENT. */
export function parseKeepAlive(text: string): number {
  return text === '0' || text === '0s' ? 0 : parseDuration('--keepalive', text, MIN_MS, MAX_MS)
}
