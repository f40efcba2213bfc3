import { basename, dirname, join } from 'node:path'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { dialAgent } from './dial-agent.ts'
import { systemCode } from './from-connect-error.ts'

const WORKLOAD_SOCKET = 'agent.sock'
const OPERATOR_SOCKET = 'admin.sock'
const SOCKETS = [WORKLOAD_SOCKET, OPERATOR_SOCKET, 'spiffe.sock']
const ANSWER_MS = 1_000

/**
 * The error for a socket of an agent that is not there. If another socket of the same agent answers, it is NOT_FOUND and says that
 * this one alone is missing, as in a container into which only some were mounted; else it is `failure`.
 *
 * A missing agent.sock stays AGENT_NOT_RUNNING, for callers that wait until an agent is there.
 */
export async function orMissing(failure: WarrenError, path: string): Promise<WarrenError> {
  if (failure.code !== ErrorCode.AgentNotRunning || systemCode(failure) !== 'ENOENT') return failure
  const directory = dirname(path)
  const missing = basename(path)
  for (const other of SOCKETS) {
    if (other === missing || !(await answers(join(directory, other), directory))) continue
    const code = missing === WORKLOAD_SOCKET ? ErrorCode.AgentNotRunning : ErrorCode.NotFound
    return new WarrenError(code, `the agent runs (${other} answers), but ${path} is not there`, {
      hint: `In a container: ${missing === OPERATOR_SOCKET ? 'run this command on the host, outside of it' : `mount all of ${directory}, read-only`}. On the host: somebody removed the socket; restart the agent.`,
      cause: failure
    })
  }
  return failure
}

async function answers(path: string, directory: string): Promise<boolean> {
  return await new Promise<boolean>(resolve => {
    const socket = dialAgent(path, directory, { timeout: ANSWER_MS })
    const end = (isThere: boolean) => () => {
      socket.destroy()
      resolve(isThere)
    }
    socket.once('connect', end(true)).once('timeout', end(false)).on('error', end(false))
  }).catch(() => false)
}
