import { basename } from 'node:path'
import { memberOf, textOf } from './json.ts'
import { type KubernetesContainer, kubernetesContainer } from './kubernetes.ts'
import { readOwnedJson } from './owned-file.ts'

/** Containerd's own namespaces: of Kubernetes, and of who names none. Others, as that of docker, have other managers. */
const NAMESPACES = ['k8s.io', 'default'] as const
/** Where containerd lets runc and crun keep their state, whatever its own settings are. */
const STATE = '/run/containerd/runc'
export const CONTAINERD_STATES: readonly string[] = NAMESPACES.map(name => `${STATE}/${name}`)

const BUNDLE = /^\/.*\/io\.containerd\.runtime\.v2\.task\/([^/]+)\/([^/]+)$/
/** The configuration of a container, with all variables, mounts and filters of system calls, has some ten thousand. */
const MAX_BYTES = 1024 * 1024
const SAID = 'io.kubernetes.cri.'

/** What containerd says of a container. */
export interface ContainerdContainer {
  readonly kubernetes?: KubernetesContainer
}

/** Whether containerd made a container of root with this bundle, whose state is in this directory. */
export function isOfContainerd(directory: string, bundle: string): boolean {
  const namespace = BUNDLE.exec(bundle)?.[1]
  return NAMESPACES.some(name => name === namespace) && namespace === basename(directory)
}

/**
 * What containerd, which runs as root, wrote of a container of its own into the bundle of it; undefined if that cannot be read.
 *
 * Containerd writes these annotations itself, after those that it takes over from a pod. It takes over none from an image.
 */
export async function readContainerd(bundle: string, id: string): Promise<ContainerdContainer | undefined> {
  const [, namespace, inPath] = BUNDLE.exec(bundle) ?? []
  if (inPath !== id) return undefined
  if (namespace !== 'k8s.io') return {}
  const config = await readOwnedJson(`${bundle}/config.json`, 0, MAX_BYTES)
  const annotations = memberOf(config, 'annotations')
  const said = (name: string): string => textOf(annotations, `${SAID}${name}`)
  const kubernetes = kubernetesContainer(
    {
      namespace: said('sandbox-namespace'),
      pod: said('sandbox-name'),
      podUid: said('sandbox-uid'),
      container: said('container-type') === 'container' ? said('container-name') : ''
    },
    config
  )
  return kubernetes === undefined ? undefined : { kubernetes }
}
