import assert from 'node:assert/strict'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { dialGateway, isElsewhere } from '../../src/proxy/inbound/gateway-target.ts'

test('an address leads elsewhere if it is neither of this host, nor of a link, a group or nobody', () => {
  for (const address of ['192.0.2.7', '10.1.2.3', '2001:db8::7', 'fd12::7', '::ffff:192.0.2.7', '64:ff9b::c000:207'])
    assert.ok(isElsewhere(address), address)
  const own = Object.values(networkInterfaces()).flatMap(list => (list ?? []).map(({ address }) => address))
  const near = ['127.0.0.1', '127.8.9.1', '0.0.0.0', '169.254.169.254', '224.0.0.1', '255.255.255.255']
  const six = ['::1', '::', '::ffff:127.0.0.1', '::ffff:7f00:1', '::127.0.0.1', 'fe80::1', 'fe80::1%lo', 'ff02::1']
  const others = [
    '::ffff:169.254.169.254',
    'fd00:ec2::254',
    '2002:7f00:1::',
    '64:ff9b::7f00:1',
    '64:ff9b::169.254.169.254',
    'localhost',
    '',
    '127.1',
    '2130706433'
  ]
  for (const address of [
    ...own,
    ...own.filter(one => one.includes('.')).map(one => `::ffff:${one}`),
    ...near,
    ...six,
    ...others
  ])
    assert.ok(!isElsewhere(address), address)
})

test('a name whose every address is of this host leads nowhere, and none of them is connected to', async () => {
  const resolve = async () => ['127.0.0.1', '::1', '0.0.0.0']
  const { signal } = new AbortController()
  await assert.rejects(dialGateway({ host: 'db.example.net', port: 1 }, signal, { resolve }), (err: unknown) =>
    WarrenError.is(err, ErrorCode.DestinationUnreachable)
  )
})
