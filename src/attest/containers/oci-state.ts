import { existsSync } from 'node:fs'
import { opendir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { CONTAINERD_STATES } from './containerd.ts'
import { DOCKER_STATE } from './docker.ts'
import { memberOf, membersOf, numberOf, textOf, textsIn } from './json.ts'
import { type ContainerPlace, isContainerName } from './membership.ts'
import { isOwnedDirectory, readOwnedJson } from './owned-file.ts'

/** A container in the state directory of crun or runc. */
export interface OciContainer extends ContainerPlace {
  readonly id: string
  readonly program: 'crun' | 'runc'
  /** The directory of its configuration. */
  readonly bundle: string
}

/** A state of crun has less than a thousand bytes, and of runc, with all variables, some ten thousand. */
const MAX_CRUN_BYTES = 16 * 1024
const MAX_RUNC_BYTES = 64 * 1024
const MAX_ROOT_RUNC_BYTES = 1024 * 1024
/** Containers of one runtime among which one is looked for whose name is not in its cgroup. */
const MAX_LISTED = 256

/** Where the runtimes of a user keep their state: on file systems that are empty after a start of the system. */
export function stateDirectories(
  uid: number,
  session: string = `/run/user/${uid}`,
  temporary: string = `/tmp/podman-run-${uid}`
): readonly string[] {
  if (uid === 0) return ['/run/crun', '/run/runc', DOCKER_STATE, ...CONTAINERD_STATES]
  // Without a session of its user, podman makes a directory of its own, where everybody could make one of this name.
  const places = existsSync(session) ? [session, `${session}/libpod/tmp`] : [temporary]
  return places.flatMap(at => [`${at}/crun`, `${at}/runc`])
}

/** Whether a state directory belongs to `uid` alone: what lies in another is not what this user put there. */
export async function isStateOf(directory: string, uid: number): Promise<boolean> {
  return (await isOwnedDirectory(dirname(directory), uid)) && (await isOwnedDirectory(directory, uid))
}

/** Names of containers in a state directory, and whether these are all. */
export async function listContainers(
  directory: string
): Promise<{ readonly ids: readonly string[]; readonly isWhole: boolean }> {
  const names: string[] = []
  try {
    const entries = await opendir(directory)
    try {
      for (let seen = 0; ; seen += 1) {
        const entry = await entries.read()
        if (entry === null) return { ids: names, isWhole: true }
        if (seen === MAX_LISTED) return { ids: names, isWhole: false }
        if (isContainerName(entry.name)) names.push(entry.name)
      }
    } finally {
      await entries.close()
    }
  } catch {
    return { ids: names, isWhole: false }
  }
}

/** A container by its id, in files that belong to `uid`; undefined if there is none. */
export async function readContainer(directory: string, id: string, uid: number): Promise<OciContainer | undefined> {
  const at = `${directory}/${id}`
  const crun = await readOwnedJson(`${at}/status`, uid, MAX_CRUN_BYTES)
  if (crun !== undefined) {
    return container('crun', id, {
      pid: numberOf(crun, 'pid'),
      startTime: numberOf(crun, 'process-start-time'),
      cgroups: [textOf(crun, 'cgroup-path')].filter(path => path !== ''),
      bundle: textOf(crun, 'bundle')
    })
  }
  const runc = await readOwnedJson(`${at}/state.json`, uid, uid === 0 ? MAX_ROOT_RUNC_BYTES : MAX_RUNC_BYTES)
  if (runc === undefined) return undefined
  const config = memberOf(runc, 'config')
  // Annotations as KEY=VALUE, which may come from the image, and last the bundle.
  const labels = textsIn(memberOf(config, 'labels')).map((text): [string, string] => {
    const end = text.indexOf('=')
    return [text.slice(0, end), text.slice(end + 1)]
  })
  return container('runc', id, {
    pid: numberOf(runc, 'init_process_pid'),
    startTime: numberOf(runc, 'init_process_start'),
    cgroups: cgroupsOf(memberOf(runc, 'cgroup_paths')),
    bundle: new Map(labels).get('bundle') ?? ''
  })
}

interface Read {
  readonly pid: number | undefined
  readonly startTime: number | undefined
  readonly cgroups: readonly string[]
  readonly bundle: string
}

function container(program: OciContainer['program'], id: string, read: Read): OciContainer | undefined {
  const { pid, startTime, cgroups, bundle } = read
  if (pid === undefined || startTime === undefined) return undefined
  // A process of this number must exist and have begun at that time.
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
  return { program, id, pid, startTime, cgroups, bundle }
}

// Each is the path in a hierarchy, below where that is mounted. The one of version 2 has no name.
function cgroupsOf(paths: unknown): string[] {
  const all = membersOf(paths).flatMap(([hierarchy, path]) => {
    if (typeof path !== 'string') return []
    const below = path.replace(/^\/sys\/fs\/cgroup/, '')
    return [hierarchy === '' ? below.replace(/^\/unified(?=\/)/, '') : below.replace(/^\/[^/]+/, '')]
  })
  return [...new Set(all)]
}
