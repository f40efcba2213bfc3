import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { Restart } from '../../restart/index.ts'
import type { AdminHandlers } from '../index.ts'

/** The calls that replace the process of the agent. */
export function upgradeHandlers(
  restart: Pick<Restart, 'begin' | 'outcome'> | undefined
): Pick<AdminHandlers, 'upgrade' | 'getUpgrade'> {
  return {
    async upgrade({ executable }, { uid }) {
      if (restart !== undefined) return { ...(await restart.begin(executable, { uid })), pid: process.pid }
      throw new WarrenError(ErrorCode.Unsupported, 'this agent cannot replace its process', {
        hint: 'That needs Linux, and an agent that `warren up` runs. Restart it instead.'
      })
    },

    getUpgrade: async () => ({ ...restart?.outcome, pid: process.pid })
  }
}
