import { Option } from 'commander'
import { apiPb } from '../../wire/index.ts'

const WAITS = ['all', 'quorum', 'local'] as const

/** `--wait`: the hosts that must acknowledge before the command answers. */
export function waitOption(): Option {
  return new Option('--wait <who>', 'hosts that must acknowledge before the command ends').choices(WAITS).default('all')
}

export function parseWait(name: string): apiPb.Wait {
  const known = WAITS.find(wait => wait === name) ?? 'all'
  return apiPb.Wait[known.toUpperCase() as Uppercase<typeof known>]
}

/** How far something has spread, for a person. */
export function replicationText(verb: string, replication: apiPb.Replication | undefined): string {
  if (replication === undefined) return `${verb} this host`
  const { acked, required, missing } = replication
  const others = required === 1 ? '1 other host' : `${required} other hosts`
  if (missing.length === 0) return required === 0 ? `${verb} this host` : `${verb} this host and ${others}`
  return `${verb} this host and ${acked} of ${others}; no answer yet from ${missing.join(', ')}`
}
