import { readdir } from 'node:fs/promises'
import { DOCKER_STATE } from './docker.ts'
import { memberOf, numberOf, textOf, textsIn } from './json.ts'
import { type ContainerPlace, isContainerName } from './membership.ts'
import { readOwnedJson } from './owned-file.ts'

/** A container in the state directory of crun or runc. */
export interface OciContainer extends ContainerPlace {
  readonly id: string
  readonly program: 'crun' | 'runc'
  /** The directory of its configuration. */
  readonly bundle: string
  readonly annotations: () => Promise<ReadonlyMap<string, string>>
}

/** A state has less than a thousand bytes, of runc some ten thousand; a configuration has all variables. */
const MAX_STATE_BYTES = 128 * 1024
const MAX_CONFIG_BYTES = 1024 * 1024
/** Containers of one runtime among which one is looked for whose name is not in its cgroup. */
const MAX_LISTED = 256

/** Where the runtimes of a user keep their state: on file systems that are empty after a start of the system. */
export function stateDirectories(uid: number): readonly string[] {
  if (uid === 0) return ['/run/crun', '/run/runc', DOCKER_STATE]
  // Without a session of its user, podman makes a directory of its own.
  return [`/run/user/${uid}`, `/tmp/podman-run-${uid}`, `/run/user/${uid}/libpod/tmp`].flatMap(at => [
    `${at}/crun`,
    `${at}/runc`
  ])
}

/** Names of containers in a state directory. */
export async function listContainers(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => [])
  return names.filter(isContainerName).slice(0, MAX_LISTED)
}

/** A container by its id, in files that belong to `uid`; undefined if there is none. */
export async function readContainer(directory: string, id: string, uid: number): Promise<OciContainer | undefined> {
  const at = `${directory}/${id}`
  const crun = await readOwnedJson(`${at}/status`, uid, MAX_STATE_BYTES)
  if (crun !== undefined) {
    return container('crun', id, {
      pid: numberOf(crun, 'pid'),
      startTime: numberOf(crun, 'process-start-time'),
      cgroups: [textOf(crun, 'cgroup-path')].filter(path => path !== ''),
      bundle: textOf(crun, 'bundle'),
      annotations: async () => {
        const config = await readOwnedJson(`${at}/config.json`, uid, MAX_CONFIG_BYTES)
        const all = Object.entries(memberOf(config, 'annotations') ?? {})
        return new Map(all.filter((pair): pair is [string, string] => typeof pair[1] === 'string'))
      }
    })
  }
  const runc = await readOwnedJson(`${at}/state.json`, uid, MAX_STATE_BYTES)
  if (runc === undefined) return undefined
  const config = memberOf(runc, 'config')
  // Annotations, and the bundle, as KEY=VALUE.
  const labels = textsIn(memberOf(config, 'labels')).map((text): [string, string] => {
    const end = text.indexOf('=')
    return [text.slice(0, end), text.slice(end + 1)]
  })
  return container('runc', id, {
    pid: numberOf(runc, 'init_process_pid'),
    startTime: numberOf(runc, 'init_process_start'),
    cgroups: cgroupsOf(memberOf(runc, 'cgroup_paths')),
    bundle: new Map(labels).get('bundle') ?? '',
    annotations: async () => new Map(labels)
  })
}

interface Read {
  readonly pid: number | undefined
  readonly startTime: number | undefined
  readonly cgroups: readonly string[]
  readonly bundle: string
  readonly annotations: OciContainer['annotations']
}

function container(program: OciContainer['program'], id: string, read: Read): OciContainer | undefined {
  const { pid, startTime, cgroups, bundle, annotations } = read
  if (pid === undefined || startTime === undefined) return undefined
  // A process of this number must exist and have begun at that time.
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
  return { program, id, pid, startTime, cgroups, bundle, annotations }
}

// Each is the path in a hierarchy, below where that is mounted. The one of version 2 has no name.
function cgroupsOf(paths: unknown): string[] {
  const all = Object.entries(paths ?? {}).flatMap(([hierarchy, path]) => {
    if (typeof path !== 'string') return []
    const below = path.replace(/^\/sys\/fs\/cgroup/, '')
    return [hierarchy === '' ? below.replace(/^\/unified(?=\/)/, '') : below.replace(/^\/[^/]+/, '')]
  })
  return [...new Set(all)]
}
