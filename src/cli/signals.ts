import { closeSync, openSync } from 'node:fs'
import { isatty } from 'node:tty'
import { say } from './output/index.ts'

const SIGNAL_EXIT_BASE = 128
/** Signals of a person or a service manager that end a program, and the signal of a closed terminal. */
const NUMBERS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const

/** Programs that rotate logs send these, and people who expect a reload. */
const IDLE = {
  SIGHUP: 'this command has nothing to read anew',
  SIGUSR2: 'logs go to standard error; there is no log file to open again'
} as const

export interface Ending {
  /** Aborts at the first signal. */
  readonly signal: AbortSignal
  /** Resolves at the first signal. */
  readonly asked: Promise<void>
}

/** Called with a signal that has no effect, and the reason. */
export type OnIdleSignal = (signal: string, why: string) => void

let hangupIsIgnored = false

/**
 * Keeps SIGHUP without effect if it was so when the process was started, as by nohup.
 *
 * Node resets that before any of its programs runs; bin/warren.js has looked before. To be called once, first.
 */
export function honourNohup(env: NodeJS.ProcessEnv = process.env): void {
  hangupIsIgnored = env['WARREN_HANGUP'] === 'ignored'
  // Not for what this process starts: that looks for itself.
  delete env['WARREN_HANGUP']
  if (hangupIsIgnored) process.on('SIGHUP', () => {})
}

/**
 * Turns the first ending signal into an abort, so that started work can be undone.
 *
 * The second one exits at once: a person who presses Ctrl-C twice does not want to wait for a peer's acknowledgement. SIGHUP
 * ends only a process that has a terminal. Without a terminal it calls `onHangup`, if there is one, else it has no effect;
 * SIGUSR2 never has one. Both then only call `onIdle`. SIGUSR1 does not arrive: Node blocks it (bin/warren.js).
 */
export function endingSignals(onIdle: OnIdleSignal, onHangup?: () => void): Ending {
  const controller = new AbortController()
  const asked = Promise.withResolvers<void>()
  const onEnding = (name: keyof typeof NUMBERS): void => {
    if (controller.signal.aborted) process.exit(SIGNAL_EXIT_BASE + NUMBERS[name])
    if (name === 'SIGINT') say('stopping; press Ctrl-C again to stop at once')
    controller.abort(new DOMException(`ended by ${name}`, 'AbortError'))
    asked.resolve()
  }
  const idle: (keyof typeof IDLE)[] = ['SIGUSR2']
  const ending: (keyof typeof NUMBERS)[] = ['SIGINT', 'SIGTERM']
  if (hasTerminal()) ending.push('SIGHUP')
  else if (onHangup === undefined) idle.push('SIGHUP')
  else if (!hangupIsIgnored) process.on('SIGHUP', onHangup)
  const heeded = (name: string): boolean => name !== 'SIGHUP' || !hangupIsIgnored
  for (const name of ending.filter(heeded)) process.on(name, onEnding)
  for (const name of idle.filter(heeded)) process.on(name, () => onIdle(name, IDLE[name]))
  return { signal: controller.signal, asked: asked.promise }
}

/** Prints that a signal has no effect, for a person. */
export function inWords(say: (text: string) => void): OnIdleSignal {
  return (signal, why) => say(`${signal} has no effect: ${why}`)
}

/** Whether there is a terminal, whose end causes SIGHUP. */
function hasTerminal(): boolean {
  if ([0, 1, 2].some(isatty)) return true
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return true
  } catch {
    return false
  }
}
