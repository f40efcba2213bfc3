import { say } from './output/index.ts'

/** The signals by which a service manager and a person end a program. */
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const SIGNAL_EXIT_BASE = 128
const NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const

export interface Ending {
  /** Aborts at the first signal. */
  readonly signal: AbortSignal
  /** Resolves at the first signal. */
  readonly asked: Promise<void>
  /** Lets signals end the process again by themselves. */
  release(): void
}

/**
 * Turns the first ending signal into an abort, so that what was begun can be taken back.
 *
 * The second one exits at once: whoever presses Ctrl-C twice does not want to wait for a peer's acknowledgement.
 */
export function endingSignals(): Ending {
  const controller = new AbortController()
  const asked = Promise.withResolvers<void>()
  const onSignal = (name: (typeof ENDING)[number]): void => {
    if (controller.signal.aborted) process.exit(SIGNAL_EXIT_BASE + NUMBERS[name])
    if (name === 'SIGINT') say('stopping; once more to stop at once')
    controller.abort(new DOMException(`ended by ${name}`, 'AbortError'))
    asked.resolve()
  }
  for (const name of ENDING) process.on(name, onSignal)
  return {
    signal: controller.signal,
    asked: asked.promise,
    release: () => {
      for (const name of ENDING) process.off(name, onSignal)
    }
  }
}
