import { readFileSync } from 'node:fs'
import { DOCKER_STATE, readDocker } from './docker.ts'
import type { RuntimeSays } from './facts.ts'
import { isInContainer, namesInCgroup } from './membership.ts'
import { listContainers, type OciContainer, readContainer, stateDirectories } from './oci-state.ts'
import { readStored, type StoredContainer } from './storage.ts'

const UNNAMED: StoredContainer = { names: [], images: [] }
const MANAGERS: ReadonlyMap<string, string> = new Map([
  ['libpod', 'podman'],
  ['cri-o', 'cri-o']
])

/**
 * The container that a process is in, as the runtime of `uid` says in files that belong to `uid`; undefined if that runtime knows
 * of none.
 *
 * Nothing that a container can write is read. The caller must hold the process, and check afterwards that it still lives.
 */
export async function findContainer(
  pid: number,
  uid: number,
  directories: readonly string[] = stateDirectories(uid)
): Promise<RuntimeSays | undefined> {
  const named = namesInCgroup(readFileSync(`/proc/${pid}/cgroup`, 'latin1'))
  for (const directory of directories) {
    const found =
      (await among(pid, uid, directory, named)) ?? (await among(pid, uid, directory, await others(directory, named)))
    if (found !== undefined) return await describe(found, uid, directory === DOCKER_STATE)
  }
  return undefined
}

async function others(directory: string, named: readonly string[]): Promise<string[]> {
  return (await listContainers(directory)).filter(id => !named.includes(id))
}

async function among(
  pid: number,
  uid: number,
  directory: string,
  ids: readonly string[]
): Promise<OciContainer | undefined> {
  for (const id of ids) {
    const container = await readContainer(directory, id, uid)
    if (container !== undefined && isInContainer(pid, container)) return container
  }
  return undefined
}

async function describe(container: OciContainer, uid: number, isOfDocker: boolean): Promise<RuntimeSays> {
  const { id, program, bundle } = container
  if (isOfDocker) return { runtime: 'docker', id, ...((await readDocker(id)) ?? UNNAMED), pods: [] }
  const annotations = await container.annotations()
  const manager = MANAGERS.get(annotations.get('io.container.manager') ?? '')
  const stored = manager === undefined ? undefined : await readStored(bundle, id, uid)
  const pod = annotations.get('io.kubernetes.cri-o.SandboxID')
  return {
    runtime: manager ?? program,
    id,
    // A manager's container without a name in its store has none: its id is not what an operator would call it.
    names: manager === undefined ? [id] : (stored?.names ?? []),
    images: stored?.images ?? [],
    pods: pod === undefined ? [] : [pod]
  }
}
