import { AgentClient } from '../../client/index.ts'
import { definedOnly } from '../../core/index.ts'

/** A person waits for it at a prompt. */
const ASK_MS = 500
const LITERAL = /^[A-Za-z0-9][A-Za-z0-9_-]*$/

/** What an agent may be asked for, to complete a word that begins with `typed`. */
export const SOURCES = Object.freeze({
  /** Addresses that somebody serves. */
  destinations: (agent, typed, signal) => addresses(agent, typed, true, signal),
  /** Addresses of everything that is registered. */
  addresses: (agent, typed, signal) => addresses(agent, typed, false, signal),
  machines: async (agent, _typed, signal) => {
    // Only the operator may list the members.
    const members = await agent.admin.listMembers({}, { signal }).catch(() => undefined)
    if (members !== undefined) return members.members.map(({ machine }) => machine)
    return (await agent.workload.listServices({}, { signal })).services.map(({ machine }) => machine)
  },
  rules: async (agent, _typed, signal) => (await agent.admin.getPolicy({}, { signal })).rules.map(({ id }) => id),
  entries: async (agent, _typed, signal) => (await agent.admin.getPolicy({}, { signal })).entries.map(({ id }) => id),
  revocations: async (agent, _typed, signal) =>
    (await agent.admin.getPolicy({}, { signal })).revocations.map(({ id }) => id),
  admins: async (agent, _typed, signal) =>
    (await agent.admin.listAdmins({}, { signal })).admins.map(({ name }) => name),
  tokens: async (agent, _typed, signal) => (await agent.admin.listTokens({}, { signal })).tokens.map(({ id }) => id)
} satisfies Readonly<Record<string, (agent: AgentClient, typed: string, signal: AbortSignal) => Promise<string[]>>>)

export type SourceName = keyof typeof SOURCES

/** Asks the agent, if there is one: without an answer in half a second, and for any failure, there is nothing. */
export async function ask(name: SourceName, typed: string, runtimeDir: string | undefined): Promise<readonly string[]> {
  try {
    await using agent = new AgentClient(definedOnly({ runtimeDir, timeoutMs: ASK_MS }))
    return await SOURCES[name](agent, typed, AbortSignal.timeout(ASK_MS))
  } catch {
    return []
  }
}

async function addresses(agent: AgentClient, typed: string, served: boolean, signal: AbortSignal): Promise<string[]> {
  const { services } = await agent.workload.listServices({ pattern: patternOf(typed) }, { signal })
  const all = services.filter(({ protocols }) => !served || protocols.length > 0).map(({ address }) => address)
  // The machine, which is the fifth part, only for those who have begun to type it.
  if (typed.split('.').length > 4) return all
  return all.map(address => address.split('.').slice(0, 4).join('.'))
}

/** The narrowest pattern that all addresses match which begin so: a mesh may have many more than fit on a terminal. */
function patternOf(typed: string): string {
  const complete = typed.split('.').slice(0, -1)
  if (complete.length === 0 || complete.length > 4 || !complete.every(part => LITERAL.test(part))) return ''
  return [...complete, '*', '*', '*', '*'].slice(0, complete.length > 3 ? 5 : 4).join('.')
}
