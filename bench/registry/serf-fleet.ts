import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { isInstalled, Program, type Scope, settled, waitFor } from '../../test/harness/index.ts'
import { answers, freePort } from '../free-port.ts'
import type { Change, FleetKind } from './fleet.ts'
import { SerfRpc } from './serf-rpc.ts'
import { Sightings } from './sightings.ts'

const EVENT = 'bench'
/** How often a member is asked whether it knows of a tag. Its stream of events would say it a second late. */
const POLL_MS = 20
const PATIENCE_MS = 60_000

/** Serf with one of its profiles of timing, and its encryption on, since the traffic of warren is encrypted too. */
export const serfFleet = (profile: 'lan' | 'local'): FleetKind => ({
  name: profile === 'lan' ? 'serf' : 'serf -profile=local',
  ours: false,
  missing: () => (isInstalled('serf') ? undefined : 'serf is not installed: apt-get install serf'),
  start: async (scope, members) => {
    const { pids, rpcs } = await startAgents(scope, members, profile)
    const sightings = new Sightings(members)
    const held = rpcs.map(() => new Set<string>())
    await Promise.all(
      rpcs.map((rpc, at) => {
        const seen = held[at] ?? new Set()
        return rpc.onUserEvent(EVENT, payload => sightings.see(at, seen.add(payload)))
      })
    )
    return {
      pids,
      changes: [userEvent(rpcs, sightings), tagChange(rpcs)],
      unwatch: async () => {
        for (const rpc of rpcs) rpc.close()
      }
    }
  }
})

async function startAgents(scope: Scope, members: number, profile: string) {
  const key = randomBytes(32).toString('base64')
  const pids: number[] = []
  const rpcs: SerfRpc[] = []
  let seed: number | undefined
  for (let at = 0; at < members; at += 1) {
    const [port, rpcPort] = [await freePort(), await freePort()]
    const own = [`-node=m${at}`, `-bind=127.0.0.1:${port}`, `-rpc-addr=127.0.0.1:${rpcPort}`]
    const rest = [`-profile=${profile}`, `-encrypt=${key}`, '-log-level=warn']
    pids.push(new Program(scope, ['serf', 'agent', ...own, ...rest]).pid)
    await answers({ port: rpcPort })
    const rpc = await SerfRpc.connect(rpcPort)
    scope.defer(() => rpc.close())
    if (seed === undefined) seed = port
    else await rpc.joined(`127.0.0.1:${seed}`)
    rpcs.push(rpc)
  }
  for (const [at, rpc] of rpcs.entries()) {
    await waitFor(async () => (await rpc.members()).length === members, `m${at} to know ${members}`, PATIENCE_MS)
  }
  return { pids, rpcs }
}

function userEvent(rpcs: readonly SerfRpc[], sightings: Sightings): Change {
  return {
    name: 'user event',
    make: async (member, round) => {
      const id = String(round)
      const seen = sightings.everywhere(ids => ids.has(id))
      const askedMs = performance.now()
      await rpcs[member]?.userEvent(EVENT, id)
      const answeredMs = performance.now() - askedMs
      return { answeredMs, everywhereMs: (await settled(seen, `event ${round} to be everywhere`)) - askedMs }
    }
  }
}

function tagChange(rpcs: readonly SerfRpc[]): Change {
  return {
    name: 'tag change',
    make: async (member, round) => {
      const value = String(round)
      const askedMs = performance.now()
      await rpcs[member]?.tag({ round: value })
      const answeredMs = performance.now() - askedMs
      const until = async (rpc: SerfRpc): Promise<void> => {
        for (;;) {
          const [found] = await rpc.members(`^m${member}$`)
          if ((found?.['Tags'] as Record<string, string> | undefined)?.['round'] === value) return
          await pause(POLL_MS)
        }
      }
      await settled(Promise.all(rpcs.map(until)), `tag ${round} to be everywhere`)
      return { answeredMs, everywhereMs: performance.now() - askedMs }
    }
  }
}
