import assert from 'node:assert/strict'
import test from 'node:test'
import { asRoot, createHosts, type Host, scopeOf, startPair, TestAgent } from '../harness/index.ts'

/** Gives a host other addresses than the ones that are remembered, and an interface that takes all other traffic. */
function moveBehindAnotherRoute(host: Host, family: 4 | 6): void {
  const number = host.ip.split('.').at(-1)
  const addresses = family === 4 ? `10.77.0.5${number}/24` : `fd77::5${number}/64`
  const lines = [
    'ip link add uplink type bridge',
    'ip addr add 172.17.0.1/16 dev uplink',
    'ip link set uplink up',
    'ip route add default via 172.17.0.2 onlink dev uplink',
    'ip route del 224.0.0.0/4',
    'ip addr flush dev eth0 scope global',
    `ip addr add ${addresses} dev eth0${family === 6 ? ' nodad' : ''}`
  ]
  host.run('/bin/sh', '-ec', lines.join('\n'))
}

for (const family of [4, 6] as const) {
  test(
    `members find each other on the LAN over IPv${family}, though their default route leads elsewhere`,
    asRoot,
    async t => {
      const scope = scopeOf(t)
      const hosts = await createHosts(scope, 'a', 'b')
      const [a, b] = await startPair(scope, { hosts })
      await Promise.all([a.stop(), b.stop()])
      for (const host of hosts) moveBehindAnotherRoute(host, family)
      await Promise.all([a.start([]), b.start([])])
      await Promise.all([a.sees(1), b.sees(1)])
    }
  )
}

test('a host that cannot look for members on a LAN says so once', asRoot, async t => {
  const scope = scopeOf(t)
  const [host] = await createHosts(scope, 'a', 'b')
  host.run('ip', 'addr', 'flush', 'dev', 'eth0')
  const a = await new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'], host }).start()
  await a.program.says(/mDNS has no interface to speak on/, 'stderr')
  host.run('ip', 'addr', 'add', '10.77.0.1/24', 'dev', 'eth0')
  await a.program.says(/"addresses of this host changed"/, 'stderr')
  assert.equal(a.program.stderr.match(/mDNS/g)?.length, 1)
})
