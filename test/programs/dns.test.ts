import assert from 'node:assert/strict'
import test from 'node:test'
import { needsPrograms, Stage } from './support/stage.ts'

const PORT = 5300
const LONG = Array.from({ length: 12 }, (_unused, at) => String(at).padStart(200, 'x'))

test('DNS: dig asks dnsmasq on another host by UDP, by TCP, and by TCP when the answer is too long for UDP', async t => {
  if (!needsPrograms(t, 'dig', 'dnsmasq')) return
  const stage = await Stage.open(t)
  const flags = ['--no-daemon', '--no-resolv', '--no-hosts', '--bind-interfaces', '--listen-address=127.0.0.1']
  const names = ['--address=/answer.example/192.0.2.77', `--txt-record=long.example,${LONG.join()}`]
  const files = ['--conf-file=/dev/null', '--pid-file=', '--user=root', `--port=${PORT}`]
  await stage.serve(['dnsmasq', ...flags, ...files, ...names], /started/, { stream: 'stderr' })
  await stage.forward('dev.dns.resolver.default', { tcp: PORT, udp: PORT })
  const dig = async (...args: string[]): Promise<string> =>
    (await stage.onClient(['dig', '@127.0.0.1', '-p', String(PORT), ...args])).stdout
  assert.equal((await dig('+short', 'answer.example', 'A')).trim(), '192.0.2.77')
  assert.equal((await dig('+short', '+tcp', 'answer.example', 'A')).trim(), '192.0.2.77')
  const truncated = await dig('+ignore', 'long.example', 'TXT')
  assert.match(truncated, /flags:[^;]* tc/)
  const whole = await dig('long.example', 'TXT')
  for (const word of LONG) assert.ok(whole.includes(word))
  assert.match(whole, /Truncated, retrying in TCP mode/)
  t.diagnostic(/Query time.*/.exec(await dig('answer.example'))?.[0] ?? '')
})
