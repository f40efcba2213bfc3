import { textOf } from './json.ts'
import { isContainerName } from './membership.ts'
import { readOwnedJson } from './owned-file.ts'
import type { StoredContainer } from './storage.ts'

/** Where runc keeps the state of the containers of docker. */
export const DOCKER_STATE = '/run/docker/runtime-runc/moby'
const SETTINGS = '/etc/docker/daemon.json'
const DATA_ROOT = '/var/lib/docker'
const MAX_BYTES = 1024 * 1024

/** What docker, which runs as root, says of a container; undefined if it has none of this id. */
export async function readDocker(id: string, settings: string = SETTINGS): Promise<StoredContainer | undefined> {
  const root = textOf(await readOwnedJson(settings, 0, MAX_BYTES), 'data-root') || DATA_ROOT
  const config = await readOwnedJson(`${root}/containers/${id}/config.v2.json`, 0, MAX_BYTES)
  if (textOf(config, 'ID') !== id) return undefined
  const [name, image] = [textOf(config, 'Name').replace(/^\//, ''), textOf(config, 'Image')]
  return {
    names: [name].filter(isContainerName),
    // The hash of its configuration.
    images: /^sha256:[0-9a-f]{64}$/.test(image) ? [image] : []
  }
}
