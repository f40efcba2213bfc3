import type { Command } from 'commander'
import { contextOf } from '../context.ts'

const ACCEPT = `
For a clock that was ahead and is right now: the agent remembers the latest time that it has seen, and verifies dates by that.
A rule, token or certificate that ended by the later time, and not by the clock, is valid again.`

export function addClock(program: Command): void {
  program
    .command('clock')
    .description('say that the clock of this host is right, though it was set back')
    .command('accept')
    .description('verify dates by the clock of this host again')
    .addHelpText('after', ACCEPT)
    .action(async (_options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const nowMs = Number((await agent.admin.acceptClock({})).nowMs)
      const time = new Date(nowMs).toISOString()
      show({ nowMs }, () => time)
      say('dates are verified by the clock of this host again')
    })
}
