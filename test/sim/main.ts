// Runs the simulator: npm run sim -- --nodes 200 --seed 1. See docs/simulator.md.
import { parseArgs } from 'node:util'
import { MUTATIONS } from './mutation.ts'
import { type Report, Simulation, type SimulationOptions } from './simulation.ts'

const USAGE = `Usage: npm run sim -- [options]

  --nodes N        hosts                                       (default 200)
  --seed N         the first seed                              (default 1)
  --seeds N        how many seeds, one after the other         (default 1)
  --minutes N      how long faults are made, in virtual time   (default 3)
  --replay         runs the seed twice and compares the traces; prints the last events
  --real-crypto    Ed25519 in place of a keyed hash
  --plant NAME     plants a known bug; "list" lists them
`

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '3' },
    replay: { type: 'boolean', default: false },
    'real-crypto': { type: 'boolean', default: false },
    plant: { type: 'string' },
    help: { type: 'boolean', default: false }
  }
})

function positive(name: 'nodes' | 'seed' | 'seeds' | 'minutes'): number {
  const number = Number(values[name])
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
  const took = `${(tookMs / 1_000).toFixed(1)} s for ${Math.round(virtualMs / 1_000)} s`
  if (failure === undefined) {
    const raised = [...alarms].map(([kind, count]) => `${kind} ${count}`).join(', ')
    process.stdout.write(
      `seed ${seed} ok: ${steps} steps, ${took}, converged in ${convergedMs / 1_000} s, trace ${traceHash}` +
        `${raised === '' ? '' : `; alarms: ${raised}`}\n`
    )
    return
  }
  const { invariant, detail, step, atMs, events } = failure
  process.stdout.write(
    `seed ${seed} FAILED at step ${step}, ${(atMs / 1_000).toFixed(3)} s, trace ${traceHash}\n` +
      `  invariant: ${invariant}\n  ${detail}\n  last events:\n${events.map(line => `    ${line}\n`).join('')}` +
      `  replay: npm run sim -- --nodes ${positive('nodes')} --minutes ${positive('minutes')} --seed ${seed} --replay` +
      `${values['real-crypto'] ? ' --real-crypto' : ''}${values.plant === undefined ? '' : ` --plant '${values.plant}'`}\n`
  )
}

function main(): void {
  if (values.help) {
    process.stdout.write(USAGE)
    return
  }
  if (values.plant !== undefined && MUTATIONS[values.plant] === undefined) {
    process.stdout.write(
      `known bugs:\n${Object.keys(MUTATIONS)
        .map(name => `  ${name}\n`)
        .join('')}`
    )
    return
  }
  const first = positive('seed')
  let failed = 0
  for (let seed = first; seed < first + positive('seeds'); seed += 1) {
    const beganMs = performance.now()
    const report = run(seed)
    print(report, performance.now() - beganMs)
    if (report.failure !== undefined) failed += 1
    if (!values.replay) continue
    const again = run(seed)
    const same = again.traceHash === report.traceHash
    process.stdout.write(`seed ${seed} replayed ${same ? 'exactly' : `otherwise: trace ${again.traceHash}`}\n`)
    if (!same) failed += 1
  }
  if (failed > 0) process.exitCode = 1
}

main()
