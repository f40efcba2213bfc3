import assert from 'node:assert/strict'
import test from 'node:test'
import { IS_FULL, needsPrograms, Stage } from './support/stage.ts'

const PORT = 5201
const SECONDS = IS_FULL ? '10' : '1'

interface Report {
  readonly end: {
    readonly sum_received?: { readonly bits_per_second: number; readonly bytes: number }
    readonly sum?: {
      readonly bits_per_second: number
      readonly lost_percent: number
      readonly jitter_ms: number
      readonly packets: number
    }
  }
}

test('iperf3: TCP both ways and in parallel, and UDP both ways, over two hosts', async t => {
  if (!needsPrograms(t, 'iperf3')) return
  const stage = await Stage.open(t)
  await stage.serve(['iperf3', '-s', '-B', '127.0.0.1', '--forceflush'], /listening/)
  // Its datagrams go to the port of its TCP connection. It serves one client at a time, and takes a health check for one.
  await stage.forward('dev.test.iperf.default', { tcp: PORT, udp: PORT, expose: ['--no-health-check'] })
  const iperf = async (...args: string[]): Promise<Report> => {
    const { stdout } = await stage.onClient(['iperf3', '-c', '127.0.0.1', '-J', '-t', SECONDS, ...args])
    return JSON.parse(stdout) as Report
  }
  for (const args of [[], ['-R'], ['-P', '8']]) {
    const { end } = await iperf(...args)
    assert.ok((end.sum_received?.bytes ?? 0) > 1e6, JSON.stringify(end))
    t.diagnostic(
      `iperf3 ${args.join(' ')}: ${((end.sum_received?.bits_per_second ?? 0) / 8e6).toFixed(0)} MB/s received`
    )
  }
  for (const args of [[], ['-R']]) {
    const { end } = await iperf('-u', '-b', '20M', '-l', '1200', ...args)
    assert.ok((end.sum?.packets ?? 0) > 500)
    assert.ok((end.sum?.lost_percent ?? 100) < 50)
    const { bits_per_second = 0, lost_percent = 100, jitter_ms = 0, packets = 0 } = end.sum ?? {}
    t.diagnostic(
      `iperf3 -u -b 20M -l 1200 ${args.join(' ')}: ${(bits_per_second / 1e6).toFixed(1)} Mbit/s, ${packets} packets, ${lost_percent.toFixed(2)} % lost, jitter ${jitter_ms.toFixed(2)} ms`
    )
  }
})
