import type { Command } from 'commander'
import type { AgentClient } from '../client/index.ts'
import { SigningClient } from './keys/index.ts'
import { type ColorChoice, print, printJson, say, wantLayout } from './output/index.ts'

/** The options that every command takes, before or after its name. */
export interface GlobalOptions {
  readonly json?: true
  readonly quiet?: true
  readonly runtimeDir?: string
  readonly color?: ColorChoice
  /** Of lists only. */
  readonly wide?: true
}

/** The client, the options and the output of a command. */
export interface Context {
  readonly json: boolean
  /** The agent to talk to; undefined: the one that the client library finds. */
  readonly runtimeDir: string | undefined
  readonly agent: AgentClient
  /** Prints `data` with --json, else the text that `human` makes of it, if there is any. */
  readonly show: <T>(data: T, human: (data: T) => string) => void
  /** Prints a message for a person, unless --quiet. */
  readonly say: (text: string) => void
}

export function contextOf(command: Command): Context {
  const { json = false, quiet = false, runtimeDir, color, wide } = command.optsWithGlobals<GlobalOptions>()
  // Other tables are not cut: who cannot ask for all of it would never see the rest.
  const fits = command.options.some(({ long }) => long === '--wide')
  wantLayout({ color, fits: fits && wide !== true, wide })
  const tell = quiet ? () => {} : say
  return {
    json,
    runtimeDir,
    agent: new SigningClient(runtimeDir === undefined ? {} : { runtimeDir }, tell),
    show(data, human) {
      if (json) return printJson(data)
      const text = human(data)
      if (text !== '') print(text)
    },
    say: tell
  }
}
