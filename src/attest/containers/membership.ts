import { readFileSync, readlinkSync } from 'node:fs'

/** CRI-O makes long names. */
const MAX_NAME_LENGTH = 255
/** A user may nest cgroups. */
const MAX_NAMES = 32
const POD = /libpod_pod_([0-9a-f]{64})\.slice\/|\/libpod_parent\/([0-9a-f]{64})\//

/** The first process of a container, and where its runtime put the container. */
export interface ContainerPlace {
  readonly pid: number
  /** Field 22 of /proc/PID/stat: the pid may be another process's by now. */
  readonly startTime: number
  /** Paths of its cgroups: one, or for version 1 perhaps another in some hierarchy. Empty if it has none of its own. */
  readonly cgroups: readonly string[]
}

/** Namespaces of a process that decide what its ids mean. */
interface Namespaces {
  readonly pids: string
  readonly users: string
}

/**
 * Whether a process is in the container: in the cgroup that the runtime made for it, and in the pid namespace and the user
 * namespace of its first process.
 *
 * Only the kernel is asked. Whoever enters a container from outside stays in another cgroup, a container within it has other
 * namespaces, and neither can be changed from inside. The caller must hold the process, and check afterwards that it still lives.
 */
export function isInContainer(pid: number, place: ContainerPlace): boolean {
  try {
    if (!isBelow(readFileSync(`/proc/${pid}/cgroup`, 'latin1'), place.cgroups)) return false
    if (startTimeOf(place.pid) !== place.startTime) return false
    const [own, first] = [namespacesOf(pid), namespacesOf(place.pid)]
    if (own.pids !== first.pids || own.users !== first.users) return false
    // With the pids of the host, the cgroup alone keeps it apart.
    if (place.cgroups.length === 0 && own.pids === readlinkSync('/proc/self/ns/pid')) return false
    return startTimeOf(place.pid) === place.startTime
  } catch {
    return false
  }
}

/**
 * Whether /proc/PID/cgroup says that the process is at or below one of `places`; it is if there are none. Version 2 decides; where the container is in none of
 * version 2, each hierarchy of version 1 must agree in which the process is anywhere but at the top.
 */
export function isBelow(text: string, places: readonly string[]): boolean {
  if (places.length === 0) return true
  if (!places.every(isPlace)) return false
  const isInside = (path: string): boolean => places.some(place => path === place || path.startsWith(`${place}/`))
  const paths = text.split('\n').flatMap(line => {
    const [, hierarchy, path] = /^(\d+):[^:]*:(\/.*)$/.exec(line) ?? []
    return hierarchy === undefined || path === undefined ? [] : [{ isUnified: hierarchy === '0', path }]
  })
  // A path outside of the agent's own view of cgroups may mean anything.
  if (paths.some(({ path }) => path.split('/').includes('..'))) return false
  const unified = paths.find(({ isUnified, path }) => isUnified && path !== '/')
  if (unified !== undefined) return isInside(unified.path)
  const elsewhere = paths.filter(({ path }) => path !== '/')
  return elsewhere.length > 0 && elsewhere.every(({ path }) => isInside(path))
}

function isPlace(path: string): boolean {
  return path.startsWith('/') && path !== '/' && !path.split('/').includes('..')
}

/** Names that its cgroups give it, the outermost first, and not more than some: those of a container are often made of its id. */
export function namesInCgroup(text: string): string[] {
  const parts = text.split('\n').flatMap(line => (/^\d+:[^:]*:(\/.*)$/.exec(line)?.[1] ?? '').split('/'))
  const names = parts.flatMap(part => {
    const name = part.replace(/\.scope$/, '')
    // As in libpod-ID, in cri-containerd-ID, and in SLICE:cri-containerd:ID without systemd.
    const last = Math.max(name.lastIndexOf('-'), name.lastIndexOf(':'))
    return [name, name.slice(name.indexOf('-') + 1), name.slice(last + 1)]
  })
  return [...new Set(names)].filter(isContainerName).slice(0, MAX_NAMES)
}

/** The id of the pod of podman in whose cgroup a container is, as podman names that; undefined if it is in none. */
export function podOf(cgroups: readonly string[]): string | undefined {
  for (const path of cgroups) {
    const [, ofSystemd, ofPodman] = POD.exec(path) ?? []
    const pod = ofSystemd ?? ofPodman
    if (pod !== undefined) return pod
  }
  return undefined
}

/** Whether it may be the name of a container, and of a directory of a runtime's state. */
export function isContainerName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && /^[A-Za-z0-9_][A-Za-z0-9_.+-]*$/.test(name)
}

function namespacesOf(pid: number): Namespaces {
  return { pids: readlinkSync(`/proc/${pid}/ns/pid`), users: readlinkSync(`/proc/${pid}/ns/user`) }
}

function startTimeOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The name of the program is in parentheses, and may contain some.
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
}
