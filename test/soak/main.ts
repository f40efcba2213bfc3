// Runs four agents for a while and disturbs them: npm run soak -- --minutes 30. See docs/soak.md.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { setPriority } from 'node:os'
import { parseArgs } from 'node:util'
import { asRoot, isInstalled, scopeOf } from '../harness/index.ts'
import { print } from './report.ts'
import { soak } from './soak.ts'

const USAGE = `Usage: npm run soak -- [options]

  --minutes N      how long the fleet is disturbed       (default 30)
  --plant          ends a flow and does not admit it: the soak must fail

It needs root and nftables. It ends with 0 if all held, 1 if something did not, 2 after a usage error.
`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    plant: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false }
  }
})

function refuse(text: string): never {
  process.stderr.write(`${text}\n`)
  process.exit(2)
}

const AUTOGROUP = '/proc/self/autogroup'
const PRIORITY = -15

// Hosts that wait seconds for a processor are lost to others, and rightly: what else runs on this machine must not be a
// disturbance. The agents inherit it. Linux may weigh all processes of a session together, by a number of its own.
function prefer(): void {
  try {
    setPriority(PRIORITY)
    const former = /nice (-?\d+)/.exec(existsSync(AUTOGROUP) ? readFileSync(AUTOGROUP, 'latin1') : '')?.[1]
    if (former === undefined) return
    writeFileSync(AUTOGROUP, String(PRIORITY))
    process.once('exit', () => writeFileSync(AUTOGROUP, former))
  } catch {
    process.stderr.write(
      'this process may not raise its priority: on a busy machine flows may end for want of a processor\n'
    )
  }
}

async function main(): Promise<void> {
  if (values.help) return void process.stdout.write(USAGE)
  const minutes = Number(values.minutes)
  if (!Number.isFinite(minutes) || minutes <= 0) refuse('--minutes must be a positive number')
  if (asRoot.skip !== false) refuse(`npm run soak ${asRoot.skip}`)
  for (const command of ['nft', 'ip']) if (!isInstalled(command)) refuse(`npm run soak needs ${command}`)

  prefer()
  let release = async (): Promise<void> => {}
  const scope = scopeOf({
    after: hook => {
      release = async () => void (await (hook as () => unknown)())
    }
  })
  try {
    const say = (line: string): void => void process.stdout.write(`${line}\n`)
    const report = await soak(scope, { minutes, plant: values.plant, say })
    print(report, say)
    if (report.failures.length > 0) process.exitCode = 1
  } finally {
    await release()
  }
}

await main()
