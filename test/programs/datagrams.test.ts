import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { waitFor } from '../harness/index.ts'
import { AIOQUIC_PYTHON } from './support/aioquic.ts'
import { SSH_PORT, serveSshd } from './support/sshd.ts'
import { IS_FULL, isAskedFor, Stage } from './support/stage.ts'

const QUIC_PORT = 4433
const NTP_PORT = 11123
const SYSLOG_PORT = 5514
const MOSH_PORT = 60001
const WIREGUARD_PORT = 51820
const HTTP_PORT = 8080
const BODY_BYTES = String((IS_FULL ? 32 : 2) * 1024 * 1024)
/** Fewer than fit into the receive buffer of a socket: a burst of datagrams may be lost anywhere. */
const LINES = 100

test('HTTP/3: answers over QUIC with its own TLS, a large one and many at once, over two hosts', async t => {
  if (!isAskedFor(t, 'openssl', 'python3')) return
  if (!existsSync(AIOQUIC_PYTHON)) return t.skip('needs aioquic: npm run test:programs installs it')
  const stage = await Stage.open(t)
  const directory = stage.scope.directory()
  const [certificate, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  const subject = ['-subj', '/CN=site.example', '-addext', 'subjectAltName=DNS:site.example']
  const pair = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', certificate]
  await stage.onServer(['openssl', 'req', '-x509', '-days', '2', ...pair, ...subject])
  const python = [AIOQUIC_PYTHON, join(import.meta.dirname, 'support', 'http3.py')]
  await stage.serve([...python, 'serve', String(QUIC_PORT), certificate, key], /listening/)
  await stage.forward('dev.web.http3.default', { udp: QUIC_PORT })
  const startedMs = performance.now()
  const { stdout } = await stage.onClient([...python, 'get', String(QUIC_PORT), certificate, BODY_BYTES])
  assert.equal(stdout, '21 answers\n')
  t.diagnostic(`${BODY_BYTES} bytes and 20 small answers in ${Math.round(performance.now() - startedMs)} ms`)
})

test('chrony measures the clock of another host', async t => {
  if (!isAskedFor(t, 'chronyd')) return
  const stage = await Stage.open(t)
  const directory = stage.scope.directory()
  const file = join(directory, 'chrony.conf')
  const settings = ['local stratum 8', 'allow', `port ${NTP_PORT}`, 'bindaddress 127.0.0.1', 'cmdport 0']
  writeFileSync(file, `${[...settings, `pidfile ${join(directory, 'pid')}`].join('\n')}\n`)
  await stage.serve(['chronyd', '-x', '-d', '-u', 'root', '-f', file], /chronyd version/, { stream: 'stderr' })
  await stage.forward('dev.time.ntp.default', { udp: NTP_PORT })
  const server = `server 127.0.0.1 port ${NTP_PORT} iburst maxdelay 10`
  const { stderr, stdout } = await stage.onClient(['chronyd', '-Q', '-t', '60', '-u', 'root', server])
  const [line = '', seconds] = /System clock wrong by (-?[\d.]+) seconds/.exec(stdout + stderr) ?? []
  assert.ok(Math.abs(Number(seconds)) < 1, stdout + stderr)
  t.diagnostic(line)
})

test('syslog: rsyslog gets what logger sends, by TCP and by UDP, over two hosts', async t => {
  if (!isAskedFor(t, 'rsyslogd', 'logger')) return
  const stage = await Stage.open(t)
  const directory = stage.scope.directory()
  const log = join(directory, 'log')
  const input = (type: string): string => `input(type="${type}" address="127.0.0.1" port="${SYSLOG_PORT}")`
  const loads = ['imtcp', 'imudp'].map(name => `module(load="${name}")`)
  const rule = `action(type="omfile" file="${log}")`
  writeFileSync(join(directory, 'conf'), [...loads, ...['imtcp', 'imudp'].map(input), rule, ''].join('\n'))
  const server = stage.run(stage.server, [
    'rsyslogd',
    '-n',
    '-f',
    join(directory, 'conf'),
    '-i',
    join(directory, 'pid')
  ])
  stage.scope.defer(() => server.stop())
  await waitFor(() => existsSync(join(directory, 'pid')) || undefined, 'rsyslogd to run')
  await stage.forward('dev.log.syslog.default', { tcp: SYSLOG_PORT, udp: SYSLOG_PORT })
  for (const [flag, word] of [
    ['-T', 'by-tcp'],
    ['-d', 'by-udp']
  ] as const) {
    const send = `seq -f '${word} %g' ${LINES} | logger ${flag} -n 127.0.0.1 -P ${SYSLOG_PORT}`
    await stage.onClient(['/bin/sh', '-c', send])
    const count = async (): Promise<true | undefined> => {
      const { stdout } = await stage.onServer(['/bin/sh', '-c', `cat ${log} 2>/dev/null | grep -c '${word}' || true`])
      return Number(stdout) === LINES || undefined
    }
    await waitFor(count, `${LINES} lines ${word}`)
  }
})

test('mosh: a shell by ssh and then by datagrams, over two hosts', async t => {
  if (!isAskedFor(t, 'mosh', 'mosh-server', 'ssh', 'sshd', 'script')) return
  const stage = await Stage.open(t)
  const ssh = ['ssh', ...(await serveSshd(stage)), '-p', String(SSH_PORT)].join(' ')
  await stage.forward('dev.ops.ssh.default', { tcp: SSH_PORT })
  await stage.forward('dev.ops.mosh.default', { udp: MOSH_PORT })
  const mosh = `mosh --ssh='${ssh}' -p ${MOSH_PORT} root@127.0.0.1`
  const terminal = stage.run(
    stage.client,
    ['script', '-qfec', `stty rows 24 cols 80; ${mosh}`, '/dev/null'],
    undefined,
    { TERM: 'xterm' }
  )
  await terminal.says(/[#$]/)
  terminal.stdin.write('echo answer $((6 * 7)) of $(hostname)\n')
  await terminal.says(/answer 42 of server/)
  terminal.stdin.write('exit\n')
  assert.equal((await terminal.outcome()).code, 0)
})

test('WireGuard: a tunnel between two hosts, through a tunnel of theirs', async t => {
  if (!isAskedFor(t, 'wireguard-go', 'wg', 'ip', 'curl', 'python3')) return
  if (!existsSync('/dev/net/tun')) return t.skip('needs /dev/net/tun')
  const stage = await Stage.open(t)
  const directory = stage.scope.directory()
  const keys: Record<string, string> = {}
  for (const name of ['server', 'client']) {
    const path = join(directory, name)
    await stage.onServer(['/bin/sh', '-c', `umask 077; wg genkey | tee ${path} | wg pubkey > ${path}.pub`])
    keys[name] = (await stage.onServer(['cat', `${path}.pub`])).stdout.trim()
  }
  const foreground = { WG_PROCESS_FOREGROUND: '1', LOG_LEVEL: 'verbose' }
  const start = async (name: 'server' | 'client', address: string, ...peer: string[]): Promise<void> => {
    const host = name === 'server' ? stage.server : stage.client
    const on = name === 'server' ? stage.onServer.bind(stage) : stage.onClient.bind(stage)
    const device = stage.run(host, ['wireguard-go', '-f', 'wg0'], undefined, foreground)
    stage.scope.defer(() => device.stop())
    await waitFor(async () => {
      const shown = stage.run(host, ['wg', 'show', 'wg0'])
      return (await shown.outcome()).code === 0 || undefined
    }, 'wg0')
    await on(['wg', 'set', 'wg0', 'private-key', join(directory, name), ...peer])
    await on(['ip', 'address', 'add', `${address}/24`, 'dev', 'wg0'])
    await on(['ip', 'link', 'set', 'wg0', 'mtu', '1280', 'up'])
  }
  const clientPeer = ['peer', keys['client'] ?? '', 'allowed-ips', '10.9.0.2/32']
  await start('server', '10.9.0.1', 'listen-port', String(WIREGUARD_PORT), ...clientPeer)
  await stage.forward('dev.net.wireguard.default', { udp: WIREGUARD_PORT })
  const serverPeer = ['peer', keys['server'] ?? '', 'allowed-ips', '10.9.0.1/32']
  await start('client', '10.9.0.2', ...serverPeer, 'endpoint', `127.0.0.1:${WIREGUARD_PORT}`)

  const www = stage.scope.directory()
  await stage.onServer(['/bin/sh', '-c', `head -c ${BODY_BYTES} /dev/urandom > ${www}/file`])
  const http = ['python3', '-u', '-m', 'http.server', '--bind', '10.9.0.1', '--directory', www, String(HTTP_PORT)]
  await stage.serve(http, /Serving HTTP/)
  const startedMs = performance.now()
  const get = ['curl', '-sS', '--retry', '5', '--retry-connrefused', '-o', join(directory, 'got')]
  await stage.onClient([...get, `http://10.9.0.1:${HTTP_PORT}/file`])
  t.diagnostic(`${BODY_BYTES} bytes in ${Math.round(performance.now() - startedMs)} ms`)
  await stage.onClient(['cmp', join(directory, 'got'), `${www}/file`])
})
