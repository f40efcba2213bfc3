import assert from 'node:assert/strict'
import test from 'node:test'
import { asRoot, createHosts, type Host, scopeOf, startPair, TestAgent } from '../harness/index.ts'

function giveIpv6(host: Host): string {
  const address = `fd77::${host.ip.split('.').at(-1)}`
  host.run('sysctl', '-qw', 'net.ipv6.conf.eth0.accept_dad=0')
  host.run('ip', 'addr', 'add', `${address}/64`, 'dev', 'eth0', 'nodad')
  return address
}

/** A connection from one to the other over its data port. */
async function talks(from: TestAgent, to: TestAgent): Promise<void> {
  const site = `dev.web.for-${from.name}.default`
  await to.allow('dev.*.*.*', 'dev.*.*.*')
  await from.follows(to)
  const serve = to.spawn(['serve', site])
  await serve.says(/serving/, 'stderr')
  await from.knows(site)
  const connect = from.spawn(['connect', site])
  connect.stdin.write('hello\n')
  await serve.says(/hello/)
  assert.match(await from.cli('flows'), /direct/)
}

test('on a network with IPv6 alone, hosts join and connect without an option', asRoot, async t => {
  const scope = scopeOf(t)
  const hosts = await createHosts(scope, 'a', 'b')
  const [address] = hosts.map(giveIpv6)
  for (const host of hosts) host.run('ip', 'addr', 'del', `${host.ip}/24`, 'dev', 'eth0')
  const [a, b] = await startPair(scope, { hosts, args: ['--no-mdns'] })
  assert.deepEqual((await a.status()).dataAddresses, [`[${address}]:7461`])
  await talks(b, a)
})

for (const args of [[], ['--listen', '[::]:7460', '--data-listen', '[::]:7461']]) {
  const how = args.length === 0 ? 'by default' : 'at [::]'
  test(`a host with both families serves both ${how}, also one that has no IPv6`, asRoot, async t => {
    const scope = scopeOf(t)
    const hosts = await createHosts(scope, 'a', 'four', 'six')
    const [first, four, six] = hosts
    const address = giveIpv6(first)
    giveIpv6(six)
    six.run('ip', 'addr', 'del', `${six.ip}/24`, 'dev', 'eth0')
    four.run('sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1')
    const a = new TestAgent(scope, { name: 'a', args: [], host: first })
    await a.start(['--init', 'example.org', '--no-mdns', ...args])
    const { dataAddresses, meshAddresses } = await a.status()
    assert.deepEqual(dataAddresses, [`${first.ip}:7461`, `[${address}]:7461`])
    assert.equal(meshAddresses.length, 2)
    for (const host of [four, six]) {
      const joining = new TestAgent(scope, { name: host.name, args: [], host })
      const token = await a.token(host.name)
      await joining.start(['--join', token, '--no-mdns'])
      await joining.sees(1)
      assert.equal((await joining.status()).meshAddresses.length, 1)
      await talks(joining, a)
    }
  })
}

test('an agent at 0.0.0.0 serves IPv4 alone', asRoot, async t => {
  const scope = scopeOf(t)
  const [host] = await createHosts(scope, 'a', 'b')
  giveIpv6(host)
  const a = new TestAgent(scope, { name: 'a', args: [], host })
  await a.start(['--init', 'example.org', '--no-mdns', '--listen', '0.0.0.0:7460', '--data-listen', '0.0.0.0:7461'])
  assert.deepEqual((await a.status()).dataAddresses, [`${host.ip}:7461`])
})
