import { Option } from 'commander'
import { ErrorCode, parseDuration, WarrenError } from '../../core/index.ts'

const PRESETS = {
  // A query and its answer; a server that must ask others first takes some seconds.
  dns: { idleMs: 10_000, oneQuestion: true }
} as const

export type PresetName = keyof typeof PRESETS

const DEFAULT = { idleMs: 120_000, oneQuestion: false } as const
const MIN_MS = 100
/** The agents end a flow of datagrams that is idle for this long. */
const MAX_MS = 120_000

/** The option `--preset`. */
export function presetOption(): Option {
  return new Option(
    '--preset <name>',
    'with --udp: dns ends a flow half a second after as many answers as questions, or after ten seconds'
  ).choices(Object.keys(PRESETS))
}

/** When a sender of datagrams is forgotten. Throws INVALID_OPTION or INVALID_ARGUMENT. */
export function parseClientLife({
  udp,
  idleTimeout,
  preset
}: {
  readonly udp?: true
  readonly idleTimeout?: string
  readonly preset?: PresetName
}): { readonly idleMs: number; readonly oneQuestion: boolean } {
  if (udp !== true && (idleTimeout !== undefined || preset !== undefined)) {
    throw new WarrenError(ErrorCode.InvalidOption, '--idle-timeout and --preset need --udp', {
      hint: 'A connection over TCP ends when its client ends it; see --keepalive.'
    })
  }
  const life = preset === undefined ? DEFAULT : PRESETS[preset]
  if (idleTimeout === undefined) return life
  return { ...life, idleMs: parseDuration('--idle-timeout', idleTimeout, MIN_MS, MAX_MS) }
}
