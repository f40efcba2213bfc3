// Runs four agents for a while and disturbs them: npm run soak -- --minutes 30. See docs/soak.md.
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

async function main(): Promise<void> {
  if (values.help) return void process.stdout.write(USAGE)
  const minutes = Number(values.minutes)
  if (!Number.isFinite(minutes) || minutes <= 0) refuse('--minutes must be a positive number')
  if (asRoot.skip !== false) refuse(`npm run soak ${asRoot.skip}`)
  for (const command of ['nft', 'ip']) if (!isInstalled(command)) refuse(`npm run soak needs ${command}`)

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
