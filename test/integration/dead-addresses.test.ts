import assert from 'node:assert/strict'
import test from 'node:test'
import { asRoot, createHosts, type Host, scopeOf, TestAgent } from '../harness/index.ts'

const SITE = 'dev.web.site.default'

/** Interfaces whose addresses are announced before that of the network, and where `other` never receives an answer. */
function addDeadAddresses(host: Host, other: Host, count: number): void {
  const lines = Array.from({ length: count }, (_, at) => [
    `ip link add dead${at} type bridge`,
    `ip addr add 172.20.${at}.1/24 dev dead${at}`,
    `ip link set dead${at} up`
  ])
  host.run('/bin/sh', '-ec', lines.flat().join('\n'))
  other.run('ip', 'route', 'add', '172.20.0.0/16', 'dev', 'eth0')
  other.run('nft', 'add table inet dead; add chain inet dead in { type filter hook input priority 0; }')
  other.run('nft', 'add rule inet dead in ip saddr 172.20.0.0/16 drop')
}

test('a host joins and connects to one that has fifteen dead addresses before its own', asRoot, async t => {
  const scope = scopeOf(t)
  const hosts = await createHosts(scope, 'a', 'b')
  addDeadAddresses(...hosts, 15)
  const args = ['--no-mdns', '--listen', '0.0.0.0:7460', '--data-listen', '0.0.0.0:7461']
  const a = await new TestAgent(scope, { name: 'a', args, host: hosts[0] }).start(['--init', 'example.org', ...args])
  const { dataAddresses } = await a.status()
  assert.deepEqual([dataAddresses.length, dataAddresses.at(-1)], [16, `${hosts[0].ip}:7461`])
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  const token = await a.token('b')
  const b = await new TestAgent(scope, { name: 'b', args, host: hosts[1] }).start(['--join', token, ...args])
  await b.sees(1)
  await b.follows(a)
  const serve = a.spawn(['serve', SITE])
  await serve.says(/serving/, 'stderr')
  await b.knows(SITE)
  const connect = b.spawn(['connect', SITE])
  connect.stdin.write('hello\n')
  await serve.says(/hello/)
})
