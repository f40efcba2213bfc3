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
  /** Ends the names and all connections to them. */
  readonly close: () => void
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
      close() {
        names.close()
        hosts.close()
      }
    }
  } catch (err) {
    hosts.close()
    throw err
  }
}
