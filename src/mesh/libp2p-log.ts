import { format } from 'node:util'
import type { ComponentLogger, Logger as Libp2pLogger } from '@libp2p/interface'
import type { Logger } from '../core/index.ts'

const drop = (): void => {}

/**
 * Sends libp2p's errors to our log as debug lines, and drops its steps and traces.
 *
 * The level is debug, because libp2p reports every refused or lost connection as an error, and the mesh logs the important
 * ones in its own terms.
 */
export function libp2pLogger(log: Logger): ComponentLogger {
  return { forComponent: name => scope(log, name) }
}

function scope(log: Logger, name: string): Libp2pLogger {
  return Object.assign((): void => {}, {
    enabled: false,
    error: (formatter: unknown, ...args: unknown[]): void => {
      log.debug('libp2p error', { component: name, reason: render(formatter, args) })
    },
    trace: drop,
    newScope: (child: string) => scope(log, `${name}:${child}`)
  })
}

// %p, %a, %e, %b, %t … are libp2p's own formats; %s renders all of them well enough for a debug line.
function render(formatter: unknown, args: unknown[]): string {
  const template = String(formatter).replaceAll(/%[a-zA-Z]/g, match =>
    match === '%d' || match === '%o' ? match : '%s'
  )
  return format(template, ...args.map(arg => (arg instanceof Error ? arg.message : String(arg)))).slice(0, 512)
}
