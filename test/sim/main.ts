// Runs the simulator: npm run sim -- --nodes 200 --seed 1. See docs/simulator.md.
import { parseArgs } from 'node:util'
import { type ClusterReport, ClusterSimulation } from './cluster/cluster-simulation.ts'
import { PLANTED } from './cluster/planted.ts'
import { MUTATIONS } from './mutation.ts'
import { type Failure, type Report, Simulation, type SimulationOptions } from './simulation.ts'

const USAGE = `Usage: npm run sim -- [options]

  --cluster        admission, failure detection, policy and trust, with members that lie, in place of the registry
  --liars N        members that lie, with --cluster            (default 1)
  --nodes N        hosts                                       (default 200; 12 with --cluster)
  --seed N         the first seed                              (default 1)
  --seeds N        how many seeds, one after the other         (default 1)
  --minutes N      how long faults are made, in virtual time   (default 3)
  --replay         runs the seed twice and compares the traces; prints the last events
  --real-crypto    Ed25519 in place of a keyed hash; --cluster always has it
  --plant NAME     plants a known bug; "list" lists them
`

const { values } = parseArgs({
  options: {
    cluster: { type: 'boolean', default: false },
    liars: { type: 'string', default: '1' },
    nodes: { type: 'string' },
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '3' },
    replay: { type: 'boolean', default: false },
    'real-crypto': { type: 'boolean', default: false },
    plant: { type: 'string' },
    help: { type: 'boolean', default: false }
  }
})

const NODES = values.cluster ? '12' : '200'
/** The admin, a host that will not go, one that is evicted, and two that see it. */
const LEAST_CLUSTER = 5

function positive(name: 'nodes' | 'seed' | 'seeds' | 'minutes'): number {
  const number = Number(values[name] ?? NODES)
  const whole = name === 'minutes' || Number.isSafeInteger(number)
  if (whole && number > 0 && Number.isFinite(number)) return number
  process.stderr.write(`--${name} must be a positive ${name === 'minutes' ? 'number' : 'integer'}\n`)
  process.exit(2)
}

function progressOf(seed: number): SimulationOptions['onProgress'] {
  if (!process.stderr.isTTY) return () => {}
  return (virtualMs, steps) => {
    process.stderr.write(`\r\x1b[Kseed ${seed}: ${Math.floor(virtualMs / 1_000)} s of virtual time, ${steps} steps`)
  }
}

function run(seed: number): Report {
  const mutation = values.plant === undefined ? undefined : MUTATIONS[values.plant]
  const report = new Simulation({
    seed,
    nodes: positive('nodes'),
    minutes: positive('minutes'),
    realCrypto: values['real-crypto'],
    ...(mutation === undefined ? {} : { mutation }),
    onProgress: progressOf(seed) ?? (() => {})
  }).run()
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  return report
}

function print({ seed, traceHash, steps, virtualMs, convergedMs, alarms, failure }: Report, tookMs: number): void {
  if (failure !== undefined) {
    printFailure(seed, traceHash, failure)
    return
  }
  const raised = [...alarms].map(([kind, count]) => `${kind} ${count}`).join(', ')
  process.stdout.write(
    `seed ${seed} ok: ${steps} steps, ${took(tookMs, virtualMs)}, converged in ${convergedMs / 1_000} s, trace ${traceHash}` +
      `${raised === '' ? '' : `; alarms: ${raised}`}\n`
  )
}

function printCluster(report: ClusterReport, tookMs: number): void {
  const { seed, traceHash, steps, virtualMs, convergedMs, policies, trusts, found, failure } = report
  if (failure !== undefined) {
    printFailure(seed, traceHash, failure)
    return
  }
  process.stdout.write(
    `seed ${seed} ok: ${steps} steps, ${took(tookMs, virtualMs)}, converged in ${convergedMs / 1_000} s, trace ${traceHash}; ` +
      `${policies} policies, ${trusts} trust bundles, ${found} suspicions of dead hosts\n`
  )
}

function took(tookMs: number, virtualMs: number): string {
  return `${(tookMs / 1_000).toFixed(1)} s for ${Math.round(virtualMs / 1_000)} s`
}

function printFailure(seed: number, traceHash: string, { invariant, detail, step, atMs, events }: Failure): void {
  const kind = values.cluster ? ` --cluster --liars ${values.liars}` : ''
  process.stdout.write(
    `seed ${seed} FAILED at step ${step}, ${(atMs / 1_000).toFixed(3)} s, trace ${traceHash}\n` +
      `  invariant: ${invariant}\n  ${detail}\n  last events:\n${events.map(line => `    ${line}\n`).join('')}` +
      `  replay: npm run sim --${kind} --nodes ${positive('nodes')} --minutes ${positive('minutes')} --seed ${seed} --replay` +
      `${values['real-crypto'] ? ' --real-crypto' : ''}${values.plant === undefined ? '' : ` --plant '${values.plant}'`}\n`
  )
}

/** Runs one seed of either kind, and prints what came of it. */
async function runOne(seed: number): Promise<Pick<Report, 'traceHash' | 'failure'>> {
  const beganMs = performance.now()
  if (!values.cluster) {
    const report = run(seed)
    print(report, performance.now() - beganMs)
    return report
  }
  const planted = values.plant === undefined ? undefined : PLANTED[values.plant]
  const report = await ClusterSimulation.run({
    seed,
    nodes: positive('nodes'),
    minutes: positive('minutes'),
    liars: Number(values.liars),
    ...(planted === undefined ? {} : { planted })
  })
  printCluster(report, performance.now() - beganMs)
  return report
}

async function main(): Promise<void> {
  if (values.help) {
    process.stdout.write(USAGE)
    return
  }
  if (values.cluster && (positive('nodes') < LEAST_CLUSTER || !/^[0-9]{1,3}$/.test(values.liars))) {
    process.stderr.write(`--cluster takes at least ${LEAST_CLUSTER} nodes, and --liars a number\n`)
    process.exitCode = 2
    return
  }
  const bugs = values.cluster ? PLANTED : MUTATIONS
  if (values.plant !== undefined && bugs[values.plant] === undefined) {
    if (values.plant !== 'list') {
      process.stderr.write(`no known bug is named "${values.plant}"; list them with --plant list\n`)
      process.exitCode = 2
      return
    }
    process.stdout.write(
      `known bugs:\n${Object.keys(bugs)
        .map(name => `  ${name}\n`)
        .join('')}`
    )
    return
  }
  const first = positive('seed')
  let failed = 0
  for (let seed = first; seed < first + positive('seeds'); seed += 1) {
    const report = await runOne(seed)
    if (report.failure !== undefined) failed += 1
    if (!values.replay) continue
    const again = await runOne(seed)
    const same = again.traceHash === report.traceHash
    process.stdout.write(`seed ${seed} replayed ${same ? 'exactly' : `otherwise: trace ${again.traceHash}`}\n`)
    if (!same) failed += 1
  }
  if (failed > 0) process.exitCode = 1
}

await main()
