import type { ProxyDeps } from './deps.ts'

type Options = Pick<ProxyDeps, 'carrier' | 'zone' | 'oversize' | 'resumeWindowMs' | 'dataListen' | 'runtimeDir'>

/** The part of a configuration that the data plane takes as it is. */
export function proxyOptions({ carrier, zone, oversize, resumeWindowMs, dataListen, runtimeDir }: Options): Options {
  return { carrier, zone, oversize, resumeWindowMs: resumeWindowMs ?? 0, dataListen, runtimeDir }
}
