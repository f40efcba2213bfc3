import { readFileSync } from 'node:fs'

/** Lines of start-modules.txt, in this order: before the modules that commands and agents execute, those of commands, and those of agents. */
export const SECTIONS = { both: '# both', commands: '# commands', agent: '# agent' } as const

/** What start-modules.txt has: names of modules. */
export interface StartList {
  /** Of commands, and those of commands and agents. */
  readonly commands: ReadonlySet<string>
  /** Of agents alone. */
  readonly agent: ReadonlySet<string>
}

export function readStartList(file: string): StartList {
  const lines = readFileSync(file, 'utf8').split('\n')
  const [both, commands, agent] = Object.values(SECTIONS).map(line => lines.indexOf(line)) as [number, number, number]
  if (both < 0 || commands < both || agent < commands) throw new Error(`${file}: not as record-start.ts writes it`)
  const names = (part: readonly string[]): Set<string> => new Set(part.map(line => line.split(' ', 1)[0] ?? ''))
  return { commands: names(lines.slice(both, agent)), agent: names(lines.slice(agent)) }
}
