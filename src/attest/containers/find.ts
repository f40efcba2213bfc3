import { readFileSync } from 'node:fs'
import { DOCKER_STATE, readDocker } from './docker.ts'
import type { RuntimeSays } from './facts.ts'
import { isInContainer, namesInCgroup, podOf } from './membership.ts'
import { isStateOf, listContainers, type OciContainer, readContainer, stateDirectories } from './oci-state.ts'
import { isInStore, readStored, type StoredContainer } from './storage.ts'

const UNNAMED: StoredContainer = { names: [], images: [] }
/** For what a user wrote, whom others must not wait for. */
const MAX_LOOKUP_MS = 500

interface Found extends OciContainer {
  readonly isOfDocker: boolean
}

export interface FindOptions {
  /** @default those of the runtimes of `uid` */
  readonly directories?: readonly string[]
  readonly monotonicMs?: () => number
}

/**
 * The container that a process is in, as the runtime of `uid` says in files that belong to `uid`; undefined if that runtime knows
 * of none, or for a user not in time.
 *
 * Nothing that a container can write is read. The caller must hold the process, and check afterwards that it still lives.
 */
export async function findContainer(
  pid: number,
  uid: number,
  { directories = stateDirectories(uid), monotonicMs = () => performance.now() }: FindOptions = {}
): Promise<RuntimeSays | undefined> {
  const endMs = uid === 0 ? Number.POSITIVE_INFINITY : monotonicMs() + MAX_LOOKUP_MS
  const named = namesInCgroup(readFileSync(`/proc/${pid}/cgroup`, 'latin1'))
  // Without a cgroup of its own a container may share all that the kernel says with another: then it is neither of them.
  const guesses: Found[] = []
  let isUnsure = false
  for (const directory of directories) {
    if (monotonicMs() > endMs) return undefined
    if (!(await isStateOf(directory, uid))) continue
    const match = async (id: string): Promise<Found | undefined> => {
      const container = await readContainer(directory, id, uid)
      if (container === undefined || !isInContainer(pid, container)) return undefined
      const found = { ...container, isOfDocker: directory === DOCKER_STATE }
      if (container.cgroups.length > 0) return found
      guesses.push(found)
      return undefined
    }
    for (const id of named) {
      const found = await match(id)
      if (found !== undefined) return await describe(found, uid)
    }
    const { ids, isWhole } = await listContainers(directory)
    isUnsure ||= !isWhole
    for (const id of ids) {
      if (named.includes(id)) continue
      if (monotonicMs() > endMs) return undefined
      const found = await match(id)
      if (found !== undefined) return await describe(found, uid)
    }
  }
  const [only, ...others] = guesses
  if (only === undefined || others.length > 0 || isUnsure) return undefined
  return await describe(only, uid)
}

async function describe({ id, program, bundle, cgroups, isOfDocker }: Found, uid: number): Promise<RuntimeSays> {
  if (isOfDocker) return { runtime: 'docker', id, ...((await readDocker(id)) ?? UNNAMED), pods: [] }
  const stored = await readStored(bundle, id, uid)
  if (stored === undefined) {
    // A manager's container without a name in its store has none: its id is not what an operator would call it.
    return { runtime: program, id, names: isInStore(bundle) ? [] : [id], images: [], pods: [] }
  }
  const pod = stored.pod ?? podOf(cgroups)
  return {
    runtime: stored.pod === undefined ? 'podman' : 'cri-o',
    id,
    names: stored.names,
    images: stored.images,
    pods: pod === undefined ? [] : [pod]
  }
}
