import type { Command } from 'commander'
import { ErrorCode, parseDuration, WarrenError } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import { fields, printJson } from '../output/index.ts'

interface DrainOptions {
  readonly undo?: true
  readonly timeout?: string
}

const DEFAULT_MS = 30_000
const MIN_MS = 100
const MAX_MS = 86_400_000
/** An answer that comes sooner needs no message about the wait. */
const PATIENCE_MS = 500
/** The agent answers at its own timeout; this is the time for the answer to arrive. */
const SLACK_MS = 10_000

const AFTER = `
Other hosts send no new connections to this one. Open connections may finish, and the command waits for them. Workloads of this
host can still connect to others. The drain stays in force if the command is interrupted, and ends when the agent restarts.`

export function addDrain(program: Command): void {
  program
    .command('drain')
    .description('drain this host: send no new connections to its workloads, and let their connections finish')
    .option('--undo', 'end the drain: take new connections again')
    .option('--timeout <time>', 'time for connections to finish; the rest are then reset (default: 30s)')
    .addHelpText('after', AFTER)
    .action(async (options: DrainOptions, command: Command) => {
      if (options.undo === true && options.timeout !== undefined) {
        throw new WarrenError(ErrorCode.InvalidOption, '--undo and --timeout exclude each other')
      }
      const { agent, json, say } = contextOf(command)
      if (options.undo === true) {
        await agent.admin.drain({ undo: true })
        if (json) printJson({ draining: false })
        say('no longer drained')
        return
      }
      const timeoutMs =
        options.timeout === undefined ? DEFAULT_MS : parseDuration('--timeout', options.timeout, MIN_MS, MAX_MS)
      const waiting = setTimeout(() => say('draining: no new connections; waiting for the open ones'), PATIENCE_MS)
      const drained = agent.admin.drain({ timeoutMs }, { timeoutMs: timeoutMs + SLACK_MS })
      const response = await drained.finally(() => clearTimeout(waiting))
      const { finished, reset, undone } = response
      if (json) printJson({ draining: !undone, ...fields(response) })
      if (undone) {
        say('the drain was undone, or started again, before all connections had ended')
        return
      }
      say(`drained: ${finished} finished, ${reset} reset; to end the drain: warren drain --undo`)
    })
}
