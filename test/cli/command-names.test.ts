import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { CommandNames } from '../../src/cli/run/names/command-names.ts'
import { HostsFile } from '../../src/cli/run/names/hosts-file.ts'
import type { AgentClient } from '../../src/client/index.ts'
import { apiPb } from '../../src/wire/index.ts'
import { type Scope, scopeOf, waitFor } from '../harness/index.ts'

const onLinux = { skip: process.platform === 'linux' ? false : 'only Linux has all of 127.0.0.0/8' }

interface Services {
  readonly services: ReadonlyArray<Pick<apiPb.Service, 'address' | 'ports' | 'protocols'>>
}

const site = (...ports: number[]): Services => ({
  services: [{ address: 'dev.web.site.default.m', ports, protocols: [apiPb.Protocol.TCP] }]
})

/** Names for a command that mentions one; `next` gives the services after the first ones. */
async function started(scope: Scope, first: Services, next: Promise<Services>) {
  const hosts = new HostsFile(join(scope.directory(), 'hosts'), '')
  scope.defer(() => hosts.close())
  const said: string[] = []
  const workload = {
    listServices: async () => first,
    async *watchServices(_: unknown, { signal }: { signal: AbortSignal }) {
      yield await next
      await once(signal, 'abort')
    }
  }
  const options = { client: { workload } as unknown as AgentClient, hosts, scope: 'dev', hasProxy: true }
  const names = await CommandNames.start(
    {
      ...options,
      mentioned: new Set(['web.site.warren']),
      open: async () => undefined,
      keepAliveMs: 0,
      onFailure: err => said.push(String(err))
    },
    AbortSignal.timeout(10_000)
  )
  scope.defer(() => names.close())
  return { names, said, lines: () => readFileSync(hosts.path, 'utf8').trim().split('\n') }
}

test('a port that is declared later is served at the address that the name has', onLinux, async t => {
  const scope = scopeOf(t)
  const next = Promise.withResolvers<Services>()
  const { said, lines } = await started(scope, site(25_460), next.promise)
  const [address = ''] = lines()[0]?.split(' ') ?? []
  next.resolve(site(25_461))
  const opens = async (port: number): Promise<boolean> =>
    await new Promise(resolve => {
      const socket = connect(port, address).on('error', () => resolve(false))
      socket.once('connect', () => resolve(true))
      scope.defer(() => void socket.destroy())
    })
  await waitFor(async () => (await opens(25_461)) || undefined, 'the further port')
  // What is declared no more stays: its clients learn why they are refused.
  assert.ok(await opens(25_460))
  assert.deepEqual(lines(), [`${address} dev.web.site.default.warren web.site.warren`])
  assert.deepEqual(said, [])
})
