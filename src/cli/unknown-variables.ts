import type { Command } from 'commander'
import { variableOf } from '../config/index.ts'
import { nearest } from '../core/index.ts'

const PREFIX = 'WARREN_'
/**
 * Variables that are no option of `up`: a second name, what a unit puts on the command line, what `svid fetch` gives a program, and
 * those of a key on a device.
 */
const OTHERS = [
  'WARREN_RUNTIME_DIR',
  'WARREN_JOIN_TOKEN',
  'WARREN_UP_OPTIONS',
  'WARREN_SVID_DIR',
  'WARREN_SPIFFE_ID',
  'WARREN_PKCS11_MODULE',
  'WARREN_PKCS11_PIN_FILE'
]

/** The option without a variable: left in a file of the unit, it would apply at every start. */
export const COMMAND_LINE_ONLY = 'accept-lost-state'
/** It has none either: it says nothing of how the agent is started. */
export const STARTS_NOTHING = 'check'
const WITHOUT = [COMMAND_LINE_ONLY, STARTS_NOTHING]

/** A sentence for each variable with the prefix of warren's that `up` does not know: it may be a misspelt option. */
export function unknownVariables(up: Command, env: NodeJS.ProcessEnv): string[] {
  const names = up.options.map(({ long }) => (long ?? '').slice('--'.length)).filter(name => !WITHOUT.includes(name))
  const known = [...names.map(variableOf), ...OTHERS]
  return Object.keys(env)
    .filter(name => name.startsWith(PREFIX) && !known.includes(name))
    .map(name => {
      // Without what they have in common: it would make every name near.
      const near = nearest(
        name.slice(PREFIX.length),
        known.map(one => one.slice(PREFIX.length))
      )
      const hint = near === undefined ? '' : ` (Did you mean ${PREFIX}${near}?)`
      return `warning: the variable ${name} is unknown and has no effect${hint}`
    })
}
