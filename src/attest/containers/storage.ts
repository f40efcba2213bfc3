import { dirname } from 'node:path'
import { memberOf, membersOf, parsed, textOf, textsIn } from './json.ts'
import { type KubernetesContainer, kubernetesContainer } from './kubernetes.ts'
import { isContainerName } from './membership.ts'
import { readOwnedJson } from './owned-file.ts'
import { readRecord } from './record.ts'

const MAX_NAMES = 16
/** The configuration of a container, with all variables, mounts and filters of system calls, has some ten thousand. */
const MAX_CONFIG_BYTES = 64 * 1024
const MAX_ROOT_CONFIG_BYTES = 1024 * 1024

/** What the store of podman and CRI-O (containers/storage) says of a container. */
export interface StoredContainer {
  readonly names: readonly string[]
  readonly images: readonly string[]
  /** Id of its pod, which CRI-O gives to each container, and podman to none. */
  readonly pod?: string
  readonly kubernetes?: KubernetesContainer
}

/** The record with this id in a list; undefined if there is none, or no time left. */
type Read = (path: string, id: string) => Promise<unknown>

const BUNDLE = /^(\/.*)\/([a-z0-9]+)-containers\/([^/]+)\/userdata$/

/** Whether a bundle is where podman and CRI-O have theirs. */
export function isInStore(bundle: string): boolean {
  return BUNDLE.test(bundle)
}

/**
 * Finds a container in the store below which its bundle is, DRIVER-containers/ID/userdata, in files that belong to `uid`;
 * undefined if it is in none. Lists that it would come to once `isLate` are not read, and what is in them is left out.
 */
export async function readStored(
  bundle: string,
  id: string,
  uid: number,
  isLate: () => boolean = () => false
): Promise<StoredContainer | undefined> {
  const [, root, driver, inPath] = BUNDLE.exec(bundle) ?? []
  if (root === undefined || driver === undefined || inPath !== id) return undefined
  const containers = dirname(dirname(bundle))
  const read = async (path: string, one: string): Promise<unknown> =>
    isLate() ? undefined : await readRecord(path, uid, one)
  const found = await recordOf(containers, id, read)
  if (found === undefined) return undefined
  const names = textsIn(memberOf(found, 'names')).slice(0, MAX_NAMES).filter(isContainerName)
  const image = textOf(found, 'image')
  // Written by the manager alone: annotations may come from the image.
  const metadata = parsed(textOf(found, 'metadata'))
  const pod = textOf(metadata, 'pod-id')
  if (!isContainerName(pod)) return { names, images: await digestsOf(`${root}/${driver}-images`, image, read) }
  const config = await readOwnedJson(`${bundle}/config.json`, uid, uid === 0 ? MAX_ROOT_CONFIG_BYTES : MAX_CONFIG_BYTES)
  const sandbox = parsed(textOf(await recordOf(containers, pod, read), 'metadata'))
  const kubernetes = kubernetesContainer(
    {
      namespace: textOf(sandbox, 'namespace'),
      pod: textOf(sandbox, 'metadata-name'),
      podUid: textOf(sandbox, 'uid'),
      container: pod === id ? '' : textOf(metadata, 'metadata-name')
    },
    config
  )
  // CRI-O has its bundles where they do not outlive a start of the system, and images and layers elsewhere.
  const layers = textOf(memberOf(config, 'root'), 'path')
  const store = layers.slice(0, Math.max(0, layers.lastIndexOf(`/${driver}/`))) || root
  const images = await digestsOf(`${store}/${driver}-images`, image, read)
  return { names, images, pod, ...(kubernetes !== undefined && { kubernetes }) }
}

// Those that do not outlive a start of the system are in a list of their own.
async function recordOf(containers: string, id: string, read: Read): Promise<unknown> {
  for (const list of ['containers.json', 'volatile-containers.json']) {
    const found = await read(`${containers}/${list}`, id)
    if (found !== undefined) return found
  }
  return undefined
}

// The id of an image is the hash of its configuration, which names its layers by theirs.
async function digestsOf(images: string, id: string, read: Read): Promise<string[]> {
  if (id === '') return []
  const found = await read(`${images}/images.json`, id)
  const manifests = membersOf(memberOf(found, 'big-data-digests')).flatMap(([name, digest]) =>
    name.startsWith('manifest') && typeof digest === 'string' ? [digest] : []
  )
  const all = [`sha256:${id}`, textOf(found, 'digest'), ...manifests]
  return [...new Set(all)].filter(text => /^sha256:[0-9a-f]{64}$/.test(text)).slice(0, MAX_NAMES)
}
