/** The container of a process, as the runtime that made it says in its own state. */
export interface ContainerFacts {
  /** As in "podman": the manager that asked for it, or else the program that made it. */
  readonly runtime: string
  /** The user whose runtime it is: 0, or the owner of the container's user namespace. The rest is what this user says. */
  readonly ownerUid: number
  /** Names of that user. */
  readonly owners: readonly string[]
  readonly id: string
  /** Its id, for a runtime that gives no names. "NAMESPACE/CONTAINER" in Kubernetes. */
  readonly names: readonly string[]
  /** "sha256:…": the id of its image, and the digests of the manifests by which it was pulled. */
  readonly images: readonly string[]
  /** Id of its pod, and the names that are known: "NAMESPACE/POD" in Kubernetes. */
  readonly pods: readonly string[]
  /** "NAMESPACE/NAME": that of its pod of Kubernetes, as the cluster has signed. */
  readonly serviceAccount?: string
}

/** What the runtime says; whose runtime it is, the kernel says. */
export type RuntimeSays = Omit<ContainerFacts, 'ownerUid' | 'owners'>
