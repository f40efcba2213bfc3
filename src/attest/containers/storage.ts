import { dirname } from 'node:path'
import { listIn, memberOf, membersOf, parsed, textOf, textsIn } from './json.ts'
import { isContainerName } from './membership.ts'
import { readOwnedJson } from './owned-file.ts'

/** Some hundred containers or images. What users write costs the agent the time to read it. */
const MAX_BYTES = 1024 * 1024
const MAX_ROOT_BYTES = 32 * 1024 * 1024
const MAX_NAMES = 16

/** What the store of podman and CRI-O (containers/storage) says of a container. */
export interface StoredContainer {
  readonly names: readonly string[]
  readonly images: readonly string[]
  /** Id of its pod, which CRI-O gives to each container, and podman to none. */
  readonly pod?: string
}

const BUNDLE = /^(\/.*)\/([a-z0-9]+)-containers\/([^/]+)\/userdata$/

/** Whether a bundle is where podman and CRI-O have theirs. */
export function isInStore(bundle: string): boolean {
  return BUNDLE.test(bundle)
}

/**
 * Finds a container in the store below which its bundle is, DRIVER-containers/ID/userdata, in files that belong to `uid`;
 * undefined if it is in none.
 */
export async function readStored(bundle: string, id: string, uid: number): Promise<StoredContainer | undefined> {
  const [, root, driver, inPath] = BUNDLE.exec(bundle) ?? []
  if (root === undefined || inPath !== id) return undefined
  const containers = dirname(dirname(bundle))
  // Those that do not outlive a start of the system are in a list of their own.
  for (const list of ['containers.json', 'volatile-containers.json']) {
    const all = listIn(await readOwnedJson(`${containers}/${list}`, uid, most(uid)))
    const found = all.find(one => textOf(one, 'id') === id)
    if (found === undefined) continue
    const image = textOf(found, 'image')
    // Written by the manager alone: annotations may come from the image.
    const pod = textOf(parsed(textOf(found, 'metadata')), 'pod-id')
    return {
      ...(isContainerName(pod) && { pod }),
      names: textsIn(memberOf(found, 'names')).slice(0, MAX_NAMES).filter(isContainerName),
      images: image === '' ? [] : await digestsOf(`${root}/${driver}-images/images.json`, image, uid)
    }
  }
  return undefined
}

// The id of an image is the hash of its configuration, which names its layers by theirs.
async function digestsOf(path: string, id: string, uid: number): Promise<string[]> {
  const found = listIn(await readOwnedJson(path, uid, most(uid))).find(one => textOf(one, 'id') === id)
  const manifests = membersOf(memberOf(found, 'big-data-digests')).flatMap(([name, digest]) =>
    name.startsWith('manifest') && typeof digest === 'string' ? [digest] : []
  )
  const all = [`sha256:${id}`, textOf(found, 'digest'), ...manifests]
  return [...new Set(all)].filter(text => /^sha256:[0-9a-f]{64}$/.test(text)).slice(0, MAX_NAMES)
}

function most(uid: number): number {
  return uid === 0 ? MAX_ROOT_BYTES : MAX_BYTES
}
