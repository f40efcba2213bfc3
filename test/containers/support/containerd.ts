import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Program, programsForOthers, type Scope } from '../../harness/index.ts'
import type { Probe } from '../../integration/support/probe.ts'
import { Cri, IMAGE, probeWithin, SYSTEM } from './cri.ts'
import { emptyImage } from './oci-image.ts'

/** A containerd with a store and sockets of its own. Its containers are in the state of runc that all have. */
export class Containerd {
  readonly cri: Cri
  readonly #scope: Scope
  readonly #socket: string

  private constructor(scope: Scope, socket: string) {
    this.#scope = scope
    this.#socket = socket
    this.cri = new Cri(scope, { socket, state: '/run/containerd/runc/k8s.io' })
  }

  /** `labels` are those of the image of its containers. */
  static async start(scope: Scope, labels: Readonly<Record<string, string>>): Promise<Containerd> {
    const directory = scope.directory()
    const [socket, settings] = [join(directory, 'containerd.sock'), join(directory, 'config.toml')]
    // It lets pods have all the annotations that they ask for.
    writeFileSync(
      settings,
      `version = 2
root = "${directory}/root"
state = "${directory}/state"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      pod_annotations = ["*"]
      container_annotations = ["*"]
`
    )
    const daemon = new Program(scope, ['containerd', '--config', settings])
    await daemon.says(/containerd successfully booted/, 'stderr')
    const made = new Containerd(scope, socket)
    const archive = emptyImage(scope, IMAGE, labels)
    for (const namespace of ['k8s.io', 'default'])
      await made.ctr('-n', namespace, 'images', 'import', '--snapshotter', 'native', archive)
    return made
  }

  /** A probe in a container of this id, in no pod, with paths of the host as FROM:AT. */
  async probe(id: string, mounts: readonly string[], more: readonly string[] = []): Promise<Probe> {
    const { node } = programsForOthers()
    const bound = [...SYSTEM, dirname(node), ...mounts].flatMap(path => {
      const [from = '', at = from] = path.split(':')
      return ['--mount', `type=bind,src=${from},dst=${at},options=rbind:ro`]
    })
    await this.ctr('run', '--detach', '--snapshotter', 'native', ...more, ...bound, IMAGE, id, '/bin/sleep', '600')
    this.#scope.defer(async () => {
      await this.ctr('tasks', 'kill', '--signal', 'SIGKILL', id)
      await this.ctr('tasks', 'delete', '--force', id)
    })
    return await probeWithin(this.#scope, '/run/containerd/runc/default', id)
  }

  async ctr(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await new Program(this.#scope, ['ctr', '-a', this.#socket, ...args]).outcome()
    if (code !== 0) throw new Error(`ctr ${args.join(' ')} failed: ${stderr}`)
    return stdout.trim()
  }
}
