import { existsSync } from 'node:fs'
import { dirname } from 'node:path'

const SEE = 'see "Containers on a host" in docs/workloads.md.'

/** The next step when a socket cannot be bound where the agent says, by the system's code; undefined if there is none. */
export function bindHint(path: string, code: string | undefined): string | undefined {
  const directory = dirname(path)
  switch (code) {
    case 'EROFS':
      return `${directory} is mounted read-only here: mount it writable over the rest, or bind a socket of your own path and use warren expose --unix; ${SEE}`
    case 'ENOENT':
    case 'EACCES':
      return `${directory} is not there for this process: in a container, mount it writable under the same path, or bind a socket of your own path and use warren expose --unix; ${SEE}`
    default:
      return undefined
  }
}

/** The next step when an endpoint that the agent has just made is not there. */
export function endpointHint(path: string): string {
  const directory = dirname(path)
  return existsSync(directory)
    ? `The agent has just made ${path}: in a container, ${directory} may be mounted from before the agent started; restart the container, ${SEE}`
    : `${directory} is not there for this process: in a container, mount the directory of the sockets with all that is in it, read-only and under the same path; ${SEE}`
}
