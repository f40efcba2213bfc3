import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { dirname, join } from 'node:path'
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { createClient } from '@connectrpc/connect'
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node'
import { programsForOthers, type Scope } from '../../harness/index.ts'
import { Probe } from '../../integration/support/probe.ts'

export const SYSTEM = ['/usr', '/bin', '/lib', '/lib64'] as const
export const IMAGE = 'localhost/empty:1'
const [OF_POD, OF_CONTAINER, OF_HOST] = [0, 1, 2]

/** A pod as the kubelet asks for it. */
export interface PodWish {
  readonly namespace: string
  readonly name: string
  readonly annotations?: Readonly<Record<string, string>>
  /** Whose processes its containers see. @default each its own */
  readonly pids?: 'pod' | 'host'
}

export interface Pod extends PodWish {
  readonly id: string
  readonly uid: string
  readonly config: object
}

interface Runtime {
  readonly socket: string
  /** State directory of runc. */
  readonly state: string
}

/** Pods of a runtime of Kubernetes, made by its interface (CRI), as the kubelet does. */
export class Cri {
  readonly #scope: Scope
  readonly #runtime: Runtime
  readonly #call: (method: string, request: object) => Promise<Readonly<Record<string, string>>>

  constructor(scope: Scope, runtime: Runtime) {
    this.#scope = scope
    this.#runtime = runtime
    const set = execFileSync('buf', ['build', join(import.meta.dirname, 'cri.proto'), '-o', '-#format=binpb'])
    const service = createFileRegistry(fromBinary(FileDescriptorSetSchema, set)).getService('runtime.v1.RuntimeService')
    if (service === undefined) throw new Error('the service is not in cri.proto')
    const createConnection = () => connectSocket(runtime.socket)
    const sessionManager = new Http2SessionManager('http://localhost', {}, { createConnection })
    scope.defer(() => sessionManager.abort())
    const client = createClient(
      service,
      createGrpcTransport({ baseUrl: 'http://localhost', sessionManager })
    ) as unknown
    this.#call = async (method, request) =>
      (await (client as Record<string, (one: object) => Promise<Record<string, string>>>)[method]?.(request)) ?? {}
  }

  async pod(wish: PodWish): Promise<Pod> {
    const { namespace, name, annotations = {}, pids } = wish
    const uid = randomUUID()
    const config = {
      metadata: { name, uid, namespace },
      logDirectory: this.#scope.directory(),
      annotations,
      linux: { cgroupParent: `/kubepods/pod${uid}`, securityContext: { namespaceOptions: namespaces(pids) } }
    }
    const { podSandboxId: id = '' } = await this.#call('runPodSandbox', { config })
    this.#scope.defer(async () => {
      await this.#call('stopPodSandbox', { podSandboxId: id })
      await this.#call('removePodSandbox', { podSandboxId: id })
      removeCgroups(`kubepods/pod${uid}`)
    })
    return { ...wish, id, uid, config }
  }

  /** A probe in a new container of a pod, with paths of the host under the same paths, or as FROM:AT. */
  async probe(pod: Pod, name: string, mounts: readonly string[]): Promise<Probe & { readonly containerId: string }> {
    const { node } = programsForOthers()
    const all = [...SYSTEM, dirname(node), ...mounts].map(path => {
      const [from = '', at = from] = path.split(':')
      return { hostPath: from, containerPath: at, readonly: true }
    })
    const config = {
      metadata: { name },
      image: { image: IMAGE },
      command: ['/bin/sleep', '600'],
      mounts: all,
      logPath: `${name}.log`,
      linux: { securityContext: { namespaceOptions: namespaces(pod.pids) } }
    }
    const { containerId = '' } = await this.#call('createContainer', {
      podSandboxId: pod.id,
      config,
      sandboxConfig: pod.config
    })
    await this.#call('startContainer', { containerId })
    return Object.assign(await probeWithin(this.#scope, this.#runtime.state, containerId), { containerId })
  }
}

/** A probe in a container that runs, in the state of runc. Its input and output are those of runc. */
export async function probeWithin(scope: Scope, state: string, id: string): Promise<Probe> {
  return await Probe.start(scope, ([, ...argv]) => {
    const path = join(scope.directory(), 'process.json')
    const ids = { uid: 0, gid: 0 }
    // Otherwise runc looks for the configuration of the container where annotations may have told it to.
    const process = {
      terminal: false,
      user: ids,
      args: [programsForOthers().node, ...argv],
      env: ['PATH=/bin'],
      cwd: '/'
    }
    writeFileSync(path, JSON.stringify(process))
    return ['runc', '--root', state, 'exec', '--process', path, id]
  })
}

// The runtime leaves those above the containers to the kubelet.
function removeCgroups(path: string): void {
  for (const root of ['.', ...readdirSync('/sys/fs/cgroup')]) {
    for (const one of [path, dirname(path)]) {
      try {
        rmdirSync(join('/sys/fs/cgroup', root, one))
      } catch {
        // It is not in this hierarchy, or another pod is in it.
      }
    }
  }
}

function namespaces(pids: PodWish['pids']): object {
  const pid = pids === 'host' ? OF_HOST : pids === 'pod' ? OF_POD : OF_CONTAINER
  return { network: OF_HOST, pid, ipc: OF_POD }
}
