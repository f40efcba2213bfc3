import { listIn, memberOf, textOf } from './json.ts'
import { isContainerName } from './membership.ts'

/** A container of Kubernetes, as the runtime says that was asked for it. */
export interface KubernetesContainer {
  readonly namespace: string
  readonly pod: string
  /** Never given to another pod. */
  readonly podUid: string
  /** Its name in the pod; undefined for the one that only holds the namespaces of the pod. */
  readonly container?: string
  /** Directories of the host in which the kubelet puts the tokens that it gives to this container. */
  readonly tokenDirectories: readonly string[]
}

/** As the kubelet names the directory of a projected volume of a pod. */
const PROJECTED = /\/pods\/([^/]+)\/volumes\/kubernetes\.io~projected\/[^/]+$/
const MAX_TOKEN_DIRECTORIES = 8

/** Names without a namespace are those of other managers: whoever may make pods in one namespace chooses them freely. */
export function namesInKubernetes({ namespace, container }: KubernetesContainer): string[] {
  return container === undefined ? [] : [`${namespace}/${container}`]
}

/** By its name, which another pod of the namespace may get later, and by its uid. */
export function podsInKubernetes({ namespace, pod, podUid }: KubernetesContainer): string[] {
  return [`${namespace}/${pod}`, podUid]
}

/** What a runtime read, with the volumes in the configuration of the container; undefined if something is no name. */
export function kubernetesContainer(
  said: Readonly<Record<'namespace' | 'pod' | 'podUid' | 'container', string>>,
  config: unknown
): KubernetesContainer | undefined {
  const { namespace, pod, podUid, container } = said
  if (![namespace, pod, podUid].every(isContainerName)) return undefined
  const sources = listIn(memberOf(config, 'mounts')).map(mount => textOf(mount, 'source'))
  const tokenDirectories = sources.filter(source => PROJECTED.exec(source)?.[1] === podUid)
  return {
    namespace,
    pod,
    podUid,
    ...(isContainerName(container) && { container }),
    tokenDirectories: tokenDirectories.slice(0, MAX_TOKEN_DIRECTORIES)
  }
}
