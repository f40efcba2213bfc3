// Descriptors that a service manager keeps from one process of the agent to the next (sd_listen_fds(3), FDSTORE in sd_notify(3)).

/** sd_listen_fds(3): the first one that is passed. */
const FIRST_DESCRIPTOR = 3
/** The name of the memory with the document. */
export const DOCUMENT = 'warren'

const VARIABLES = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID', 'FDSTORE']

/** The name of a descriptor: short, for all of them together have to fit into one variable of 128 KiB. */
export function storedName(fd: number): string {
  return `w${fd.toString(36)}`
}

/**
 * The descriptors that were kept for this process, by name. Removes from `env` what says so: programs that this process starts are not meant.
 */
export function takeStored(env: NodeJS.ProcessEnv, pid = process.pid): ReadonlyMap<string, number> {
  const { LISTEN_PID: meant, LISTEN_FDS: count = '0', LISTEN_FDNAMES: names = '' } = env
  for (const name of VARIABLES) delete env[name]
  if (meant !== String(pid) || !/^\d{1,6}$/.test(count)) return new Map()
  const all = names.split(':').slice(0, Number(count))
  return new Map(all.map((name, at) => [name, FIRST_DESCRIPTOR + at]))
}
