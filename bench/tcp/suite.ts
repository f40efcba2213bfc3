import { join } from 'node:path'
import type { Scope } from '../../test/harness/index.ts'
import { bars } from '../bars.ts'
import type { Contender } from '../contender.ts'
import { haproxy } from '../contenders/haproxy.ts'
import { nebula } from '../contenders/nebula.ts'
import { nginx } from '../contenders/nginx.ts'
import { installed, newest } from '../contenders/programs.ts'
import { socat } from '../contenders/socat.ts'
import { stunnel } from '../contenders/stunnel.ts'
import { warren, warrenAudited, warrenBefore, warrenResuming } from '../contenders/warren.ts'
import { Load } from '../load.ts'
import { describeMachine, loadNow, type Report } from '../report.ts'
import { inTurns } from '../rounds.ts'
import type { SuiteOptions } from '../suite.ts'
import { type Running, tcpMeasures } from './measures.ts'

const CONTENDERS: readonly Contender[] = [
  warren('direct'),
  warrenAudited,
  warren('mesh-port'),
  warrenResuming,
  warren('mesh'),
  warren('relay'),
  haproxy(installed),
  stunnel(installed),
  nginx(installed),
  nebula,
  socat
]

/**
 * Streams: unix socket, mutual TLS 1.3 over loopback TCP, unix socket, by warren and by programs that do this part of
 * its work. The load shares the machine with them.
 */
export async function tcpSuite(
  scope: Scope,
  { rounds, only, without, before: checkout, newest: unpacked, say }: SuiteOptions
): Promise<Report> {
  const load = Load.compile(scope)
  const target = join(scope.directory(), 'target')
  await load.target('target', target)
  const running: Running[] = []
  const fetched = unpacked === undefined ? undefined : newest(unpacked, say)
  const contenders = [
    ...CONTENDERS,
    ...(fetched === undefined ? [] : [haproxy, stunnel, nginx].map(of => of(fetched))),
    ...(checkout === undefined ? [] : [warrenBefore(checkout)])
  ]
  for (const contender of contenders.filter(({ name }) => !without.some(part => name.includes(part)))) {
    const missing = contender.missing()
    if (missing === undefined) {
      const started = await contender.start(scope, target, load)
      // An endpoint that nobody connects to within 10 s is removed, and the others may take longer to start.
      await load.within(started.enter).run('latency', started.path, 1, 64)
      running.push({ name: contender.name, ours: contender.name.startsWith('warren'), ...started })
    } else say(`skipped: ${missing}`)
  }
  const before = loadNow()
  const measures = tcpMeasures(load).filter(
    ({ figures }) => only === undefined || figures.some(({ name }) => name.includes(only))
  )
  const measured = await inTurns(running, measures, rounds, say)
  const report = { suite: 'tcp', machine: describeMachine(), load: before, rounds, measures: measured }
  return { ...report, plot: bars({ ...report, measures: measured.filter(({ unit }) => unit !== 'ms') }) }
}
