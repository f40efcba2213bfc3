import { join } from 'node:path'
import { type CommandNamesOptions, CommandNames as Names } from './command-names.ts'
import { HostsFile } from './hosts-file.ts'
import { mountHosts, type Wrap } from './mount-hosts.ts'

export { mentionedNames } from './mentions.ts'
export type { Wrap } from './mount-hosts.ts'

export interface NamesOptions extends Omit<CommandNamesOptions, 'hosts'> {
  /** Where the file of hosts is made. */
  readonly directory: string
}

/** Names of the mesh for a command that is started by `wrap`. */
export interface CommandNames {
  readonly wrap: Wrap
  /** Ends the names; connections to them end by themselves, or are reset when `over` aborts. */
  readonly close: (over: AbortSignal) => Promise<void>
}

/**
 * Lets a command find services by names of DNS. Rejects with UNSUPPORTED where this system, or this user, has no means for it, and if
 * the agent does not answer.
 */
export async function namesFor({ directory, ...options }: NamesOptions, signal: AbortSignal): Promise<CommandNames> {
  const hosts = new HostsFile(join(directory, 'hosts'))
  try {
    const wrap = await mountHosts(hosts.path)
    const names = await Names.start({ ...options, hosts }, signal)
    return {
      wrap,
      async close(over) {
        // First: a name that is added later would be written to the descriptor of another file.
        names.stopFollowing()
        hosts.close()
        // What the command wrote before its end is still under way.
        await names.settle(over)
        names.close()
      }
    }
  } catch (err) {
    hosts.close()
    throw err
  }
}
