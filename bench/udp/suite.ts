import type { Scope } from '../../test/harness/index.ts'
import { bars } from '../bars.ts'
import type { Contender } from '../contender.ts'
import { socatDtls } from '../contenders/socat-dtls.ts'
import { warrenUdp, warrenUdpForward } from '../contenders/warren.ts'
import { freePort } from '../free-port.ts'
import { Load } from '../load.ts'
import { describeMachine, loadNow, type Report } from '../report.ts'
import { inTurns, type Measure, type Named } from '../rounds.ts'
import type { SuiteOptions } from '../suite.ts'
import { withScope } from '../with-scope.ts'

interface Running extends Named {
  /** Where datagrams are handed in, for one run. */
  readonly open: (use: (path: string) => Promise<Figures>) => Promise<Figures>
}

type Figures = Readonly<Record<string, number>>

const CONTENDERS: readonly Contender[] = [warrenUdp, warrenUdpForward, socatDtls]
const DATAGRAM_BYTES = 512
const SECONDS = 2

/**
 * Datagrams of 512 bytes: a local socket, an encrypted and mutually authenticated path over loopback UDP, a UDP server. The load
 * shares the machine with them.
 */
export async function udpSuite(scope: Scope, { rounds, only, without, say }: SuiteOptions): Promise<Report> {
  const load = Load.compile(scope)
  const target = `127.0.0.1:${await freePort()}`
  await load.target('udp-target', target)
  const running: Running[] = []
  for (const contender of CONTENDERS.filter(({ name }) => !without.some(part => name.includes(part)))) {
    const missing = contender.missing()
    if (missing === undefined) {
      const ours = contender.name.startsWith('warren')
      // socat serves one client here: with a process for each, its server of DTLS takes no second one.
      const path = ours ? (await contender.start(scope, target, load)).path : undefined
      const open: Running['open'] = use =>
        path !== undefined
          ? use(path)
          : withScope(async each => await use((await contender.start(each, target, load)).path))
      running.push({ name: contender.name, ours, open })
    } else say(`skipped: ${missing}`)
  }
  const before = loadNow()
  const at = (perSecond: number): Measure<Running> => {
    const rate = `${perSecond.toLocaleString('en')} a second`
    return {
      figures: [
        { key: 'arrivedPerSecond', name: `sent at ${rate}: arrived`, unit: '/s', better: 'more' },
        { key: 'lostPercent', name: `sent at ${rate}: lost`, unit: '%', better: 'less' },
        { key: 'p50', name: 'round trip of single ones afterwards, p50', unit: 'µs', better: 'less' },
        { key: 'p99', name: 'the same, p99', unit: 'µs', better: 'less' }
      ],
      run: async ({ open }) => {
        const send = (path: string) => load.run('udp', path, perSecond * SECONDS, DATAGRAM_BYTES, perSecond)
        const figures = await open(send)
        return { ...figures, lostPercent: (figures['lost'] ?? Number.NaN) * 100 }
      }
    }
  }
  const measures = [10_000, 25_000, 50_000, 75_000]
    .map(at)
    .filter(({ figures }) => only === undefined || figures.some(({ name }) => name.includes(only)))
  const measured = await inTurns(running, measures, rounds, say)
  const report = { suite: 'udp', machine: describeMachine(), load: before, rounds, measures: measured }
  return { ...report, plot: bars(report) }
}
