import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { needsCommand, Program, scopeOf, startPair } from '../harness/index.ts'

const ECHO = 'dev.web.echo.default'
const SHOP = 'dev.shop.cart.default'

// Answers each datagram with the path that it came from, its length and how it begins.
const SERVER = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('listening', flush=True)
while True:
    data, path = s.recvfrom(100000)
    print('got', len(data), flush=True)
    if path: s.sendto(f'{path} {len(data)} {data[:16].decode()}'.encode(), path)
`

// Sends each of its words as one datagram, and prints the answer to each; a name of "-" binds no path, and hears nothing.
const CLIENT = `
import socket, sys
own, to, *words = sys.argv[1:]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
if own != '-': s.bind(own)
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400000)
s.settimeout(20)
for word in words:
    size, _, text = word.partition(':')
    s.sendto(text.ljust(int(size), '.').encode(), to)
    if own != '-': print(s.recv(100000).decode(), flush=True)
`

test('programs that speak SOCK_DGRAM reach each other: whole datagrams, answers to the right one', async t => {
  if (!needsCommand(t, 'python3')) return
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope, { args: ['--oversize', 'capsule'] })
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  const directory = scope.directory()
  const target = join(directory, 'server')
  const python = (script: string, ...words: string[]): Program =>
    new Program(scope, ['python3', '-c', script, ...words])
  const server = python(SERVER, target)
  await server.says(/listening/)
  const expose = a.spawn(['expose', ECHO, '--udp', `unix:${target}`])
  await expose.says(/^dev\.web\.echo\.default\./m)
  await b.knows(ECHO)

  const path = join(directory, 'in')
  const start = async (): Promise<Program> => {
    const forward = b.spawn(['forward', ECHO, '--udp', '--listen', `unix:${path}`, '--as', SHOP])
    await forward.says(new RegExp(`^unix:${path}$`, 'm'))
    return forward
  }
  const ask = async (name: string, ...words: string[]): Promise<string[]> => {
    const { code, stdout, stderr } = await python(CLIENT, join(directory, name), path, ...words).outcome()
    assert.equal(code, 0, `${name}: ${stderr} ${expose.stderr}${forward.stderr}`)
    return stdout.trim().split('\n')
  }
  const forward = await start()
  assert.equal(statSync(path).mode & 0o777, 0o600)

  const [one, two] = await Promise.all([
    ask('one', '9:from one', '65507:large of one', '0:'),
    ask('two', '9:from two', '1:.', '20000:more of two')
  ])
  const parts = (line: string): string[] => line.split(' ').slice(1)
  assert.deepEqual(
    one.map(parts).map(([size]) => size),
    ['9', '65507', '0']
  )
  assert.deepEqual(
    two.map(parts).map(([size]) => size),
    ['9', '1', '20000']
  )
  assert.ok(one[0]?.includes('from one') && one[1]?.includes('large of one') && two[2]?.includes('more of two'))
  // At the server each client is somebody else, and stays the same.
  const froms = (lines: string[]): Set<string> => new Set(lines.map(line => line.split(' ')[0] ?? ''))
  assert.equal(froms(one).size, 1)
  assert.equal(froms(two).size, 1)
  assert.notDeepEqual(froms(one), froms(two))

  // Who bound no path is heard, and cannot be answered.
  const mute = await python(CLIENT, '-', path, '1234:unheard').outcome()
  assert.equal(mute.code, 0, mute.stderr)
  await server.says(/got 1234/)

  // Larger than a flow takes: dropped, said, and nothing ends.
  assert.equal((await python(CLIENT, '-', path, '65530:too large').outcome()).code, 0)
  await forward.says(/65530 bytes exceeds the limit of 65507/, 'stderr')
  assert.equal((await ask('three', '5:three'))[0]?.includes('three'), true)

  // What a killed one left behind is replaced; one that lives is not.
  const busy = b.spawn(['forward', ECHO, '--udp', '--listen', `unix:${path}`, '--as', SHOP])
  const { code, stderr } = await busy.outcome()
  assert.notEqual(code, 0)
  assert.match(stderr, /another program serves/)
  await forward.kill()
  await start()
  assert.equal((await ask('four', '4:four'))[0]?.includes('four'), true)
})
