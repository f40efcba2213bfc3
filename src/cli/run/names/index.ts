import { join } from 'node:path'
import { WarrenError } from '../../../core/index.ts'
import { type CommandNamesOptions, CommandNames as Names } from './command-names.ts'
import { HOSTS, HostsFile } from './hosts-file.ts'
import { mountHosts, unsupported, type Wrap } from './mount-hosts.ts'

export { mentionedNames } from './mentions.ts'
export type { Wrap } from './mount-hosts.ts'

export interface NamesOptions extends Omit<CommandNamesOptions, 'hosts'> {
  /** Makes the directory for the file of hosts. May throw the system's error. */
  readonly directory: () => string
}

/** Names of the mesh for a command that is started by `wrap`. */
export interface CommandNames {
  readonly wrap: Wrap
  /** Ends the names; connections to them end by themselves, or are reset when `over` aborts. */
  readonly close: (over: AbortSignal) => Promise<void>
}

/**
 * Lets a command find services by names of DNS. Rejects with UNSUPPORTED where this system, or this user, has no means for it or no
 * room for a file, and if the agent does not answer.
 */
export async function namesFor({ directory, ...options }: NamesOptions, signal: AbortSignal): Promise<CommandNames> {
  const hosts = hostsFile(directory)
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

function hostsFile(directory: () => string): HostsFile {
  try {
    return new HostsFile(join(directory(), 'hosts'))
  } catch (cause) {
    const { reason } = WarrenError.from(cause)
    throw unsupported(`${HOSTS} cannot be copied: ${reason}`, cause)
  }
}
