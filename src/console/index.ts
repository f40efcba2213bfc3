import type { AgentClient } from '../client/index.ts'
import { routesOf } from './routes.ts'
import { ConsoleServer } from './server.ts'
import { webFiles } from './web-files.ts'

export { LINK_MS } from './sessions.ts'

export interface ConsoleOptions {
  readonly agent: AgentClient
  /** Asks all hosts, again and again: it must not ask a person for signatures. @default agent */
  readonly asks?: AgentClient
  /** @default 0, a free one */
  readonly port?: number
  /** Whether pages may change the policy. @default false */
  readonly allowsChanges?: boolean
  /** Called when a browser has opened a link. */
  readonly onOpened?: () => void
}

/** Starts the console; `link()` of the result makes an address that opens it once, and `stop()` ends it. Throws PORT_IN_USE. */
export async function startConsole(options: ConsoleOptions): Promise<Pick<ConsoleServer, 'link' | 'stop'>> {
  const { agent, asks = agent, port = 0, allowsChanges = false, onOpened } = options
  const nowMs = (): number => Date.now()
  const server = new ConsoleServer({
    routes: routesOf({ agent, asks, allowsChanges, nowMs }),
    files: webFiles(),
    nowMs,
    onOpened
  })
  await server.start(port)
  return server
}
