import { readFileSync } from 'node:fs'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { CONTAINERD_STATES, isOfContainerd, readContainerd } from './containerd.ts'
import { DOCKER_STATE, readDocker } from './docker.ts'
import type { RuntimeSays } from './facts.ts'
import { type KubernetesContainer, namesInKubernetes, podsInKubernetes } from './kubernetes.ts'
import { isInContainer, namesInCgroup, podOf } from './membership.ts'
import { isStateOf, listContainers, type OciContainer, readContainer, stateDirectories } from './oci-state.ts'
import { isInStore, readStored, type StoredContainer } from './storage.ts'

const UNNAMED: StoredContainer = { names: [], images: [] }
/** For what a user wrote, whom others must not wait for. */
const MAX_LOOKUP_MS = 500

interface Found extends OciContainer {
  /** Where its state is. */
  readonly directory: string
}

export interface FindOptions {
  /** @default those of the runtimes of `uid` */
  readonly directories?: readonly string[]
  /** Those of them where a container is looked for by the names of its cgroup alone. @default those of containerd */
  readonly unlisted?: readonly string[]
  readonly monotonicMs?: () => number
  /** The service account of a pod of Kubernetes. @default none is established */
  readonly serviceAccountOf?: (container: KubernetesContainer) => Promise<string | undefined>
}

/**
 * The container that a process is in, as the runtime of `uid` says in files that belong to `uid`; undefined if that runtime knows
 * of none. Throws LIMIT_EXCEEDED if the files of a user took longer than half a second.
 *
 * Nothing that a container can write is read. The caller must hold the process, and check afterwards that it still lives.
 */
export async function findContainer(
  pid: number,
  uid: number,
  options: FindOptions = {}
): Promise<RuntimeSays | undefined> {
  const { directories = stateDirectories(uid), unlisted = CONTAINERD_STATES } = options
  const { monotonicMs = () => performance.now() } = options
  const endMs = uid === 0 ? Number.POSITIVE_INFINITY : monotonicMs() + MAX_LOOKUP_MS
  const isLate = (): boolean => monotonicMs() > endMs
  const named = namesInCgroup(readFileSync(`/proc/${pid}/cgroup`, 'latin1'))
  // Without a cgroup of its own a container may share all that the kernel says with another: then it is neither of them.
  const guesses: Found[] = []
  let isUnsure = false
  for (const directory of directories) {
    if (isLate()) throw tooLate(uid)
    if (!(await isStateOf(directory, uid))) continue
    const match = async (id: string): Promise<Found | undefined> => {
      const container = await readContainer(directory, id, uid)
      if (container === undefined || !isInContainer(pid, container)) return undefined
      const found = { ...container, directory }
      if (container.cgroups.length > 0) return found
      guesses.push(found)
      return undefined
    }
    for (const id of named) {
      const found = await match(id)
      if (found !== undefined) return await describe(found, uid, options, isLate)
    }
    // Containerd names each cgroup after its container, and its states are long: for a process of no container all would be read.
    if (unlisted.includes(directory)) continue
    const { ids, isWhole } = await listContainers(directory)
    isUnsure ||= !isWhole
    for (const id of ids) {
      if (named.includes(id)) continue
      if (isLate()) throw tooLate(uid)
      const found = await match(id)
      if (found !== undefined) return await describe(found, uid, options, isLate)
    }
  }
  const [only, ...others] = guesses
  if (only === undefined || others.length > 0 || isUnsure) return undefined
  return await describe(only, uid, options, isLate)
}

async function describe(
  found: Found,
  uid: number,
  options: FindOptions,
  isLate: () => boolean
): Promise<RuntimeSays | undefined> {
  const { id, program, bundle, cgroups, directory } = found
  if (directory === DOCKER_STATE) return { runtime: 'docker', id, ...((await readDocker(id)) ?? UNNAMED), pods: [] }
  if (uid === 0 && isOfContainerd(directory, bundle)) {
    const said = await readContainerd(bundle, id)
    if (said === undefined) return { runtime: program, id, ...UNNAMED, pods: [] }
    if (said.kubernetes !== undefined) return await inKubernetes('containerd', id, said.kubernetes, options)
    return { runtime: 'containerd', id, names: [id], images: [], pods: [] }
  }
  const stored = await readStored(bundle, id, uid, isLate)
  if (stored === undefined) {
    // It may be in the store: to say that nobody manages it would be another container.
    if (isLate()) throw tooLate(uid)
    // A manager's container without a name in its store has none: its id is not what an operator would call it.
    return { runtime: program, id, names: isInStore(bundle) ? [] : [id], images: [], pods: [] }
  }
  const { names, images, kubernetes } = stored
  const pod = stored.pod ?? podOf(cgroups)
  const pods = pod === undefined ? [] : [pod]
  if (kubernetes === undefined)
    return { runtime: stored.pod === undefined ? 'podman' : 'cri-o', id, names, images, pods }
  const says = await inKubernetes('cri-o', id, kubernetes, options)
  return { ...says, names: [...says.names, ...names], images, pods: [...says.pods, ...pods] }
}

// A busy host takes that long, too: to say that the process is in no container would send its operator to look for an entry.
function tooLate(uid: number): WarrenError {
  const reason = `the files of the container runtime of uid ${uid} were not read within ${MAX_LOOKUP_MS} ms`
  return new WarrenError(ErrorCode.LimitExceeded, reason, {
    limit: 'container_lookups',
    hint: 'Try again in a moment.'
  })
}

async function inKubernetes(
  runtime: string,
  id: string,
  container: KubernetesContainer,
  { serviceAccountOf }: FindOptions
): Promise<RuntimeSays> {
  const serviceAccount = await serviceAccountOf?.(container)
  return {
    runtime,
    id,
    names: namesInKubernetes(container),
    images: [],
    pods: podsInKubernetes(container),
    ...(serviceAccount !== undefined && { serviceAccount })
  }
}
