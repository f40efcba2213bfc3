import type { ProxyDeps } from './deps.ts'

type Options = Pick<ProxyDeps, 'carrier' | 'zone' | 'oversize' | 'resumeWindowMs' | 'dataListen' | 'runtimeDir'>

interface Configured extends Options {
  /** Where containers find the endpoints as well. */
  readonly shareDir?: string
}

/** The part of a configuration that the data plane takes as it is. */
export function proxyOptions({ carrier, zone, oversize, resumeWindowMs, dataListen, ...dirs }: Configured): Options {
  const runtimeDir = dirs.shareDir ?? dirs.runtimeDir
  return { carrier, zone, oversize, resumeWindowMs: resumeWindowMs ?? 0, dataListen, runtimeDir }
}
