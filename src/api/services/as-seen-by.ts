import { basename, dirname, join } from 'node:path'
import { type PeerCredentials, pathInside } from '../../attest/index.ts'

/** A path of a socket of this host, as the caller finds it: a container may have its directory mounted elsewhere. */
export async function asSeenBy(
  { view, process }: Pick<PeerCredentials, 'view' | 'process'>,
  path: string
): Promise<string> {
  if (view.isOfHost || path === '') return path
  const directory = await pathInside(process, dirname(path)).catch(() => undefined)
  return directory === undefined ? path : join(directory, basename(path))
}
