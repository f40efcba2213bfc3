import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { AgentClient } from '../../client/index.ts'
import { ErrorCode, sleep, WarrenError } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import { fields } from '../output/index.ts'

const AFTER = `
The agent first lets the program check that it can start with the options of now. If not, nothing changes. Then the process of the
agent becomes the new program, with the same process id, and keeps its listeners: connections that come meanwhile wait. If the new
program does not start even so, the former one runs again, and this command fails with the reason.

Without --to: the file that the agent was started from, as it is now; install the new version there first. --to is for one run:
the next start by a service manager takes the program that its unit names.`

/** The check of the program may take a minute, and the start three. */
const CHECK_MS = 90_000
const START_MS = 180_000
const RETRY_MS = 100
/** A service manager starts an agent that has ended anew within this time. */
const AWAY_MS = 30_000

export function addUpgrade(program: Command): void {
  program
    .command('upgrade')
    .description('replace the program of the agent, without a refused connection')
    .option('--to <file>', 'the program to run (default: the file that the agent was started from)')
    .addHelpText('after', AFTER)
    .action(async (options: { readonly to?: string }, command: Command) => {
      const { agent, show } = contextOf(command)
      const executable = options.to === undefined ? '' : resolve(options.to)
      const begun = await agent.admin.upgrade({ executable }, { timeoutMs: CHECK_MS })
      const { problem, ...outcome } = fields(await outcomeOf(agent, begun))
      if (problem !== '') {
        throw new WarrenError(ErrorCode.Unsupported, `the new program did not start: ${problem}`, {
          hint: `The former one, warren ${outcome.version}, runs again. The log of the agent has more.`
        })
      }
      show(outcome, inWords)
    })
}

interface Outcome {
  readonly formerVersion: string
  readonly version: string
  readonly listeners: number
  readonly registrations: number
  readonly flows: number
  readonly pauseMs: number
}

function inWords({ formerVersion, version, listeners, registrations, flows, pauseMs }: Outcome): string {
  const from = formerVersion === version ? `warren ${version}, started anew` : `warren ${formerVersion} → ${version}`
  return `${from}: kept ${listeners} listeners, ${registrations} registrations and ${flows} flows; paused for ${pauseMs} ms`
}

/** Asks until the process that has replaced the former one answers. */
async function outcomeOf(
  agent: AgentClient,
  { id, pid }: { readonly id: string; readonly pid: number }
): ReturnType<AgentClient['admin']['getUpgrade']> {
  const begunMs = performance.now()
  let seenMs = begunMs
  for (;;) {
    try {
      const outcome = await agent.admin.getUpgrade({})
      seenMs = performance.now()
      if (outcome.id === id) return outcome
      if (outcome.pid !== pid) throw lost()
    } catch (err) {
      if (WarrenError.is(err, ErrorCode.Unsupported)) throw err
    }
    const nowMs = performance.now()
    if (nowMs - seenMs > AWAY_MS) throw lost()
    if (nowMs - begunMs > START_MS) {
      throw new WarrenError(ErrorCode.Timeout, 'the new program does not answer', {
        hint: 'warren status, and the log of the agent, say what it waits for.'
      })
    }
    await sleep(RETRY_MS, new AbortController().signal)
  }
}

function lost(): WarrenError {
  return new WarrenError(ErrorCode.Unsupported, 'the process of the agent ended when the new program started', {
    hint: 'Its log says why. Start it again, with the former program if need be: docs/upgrade.md.'
  })
}
