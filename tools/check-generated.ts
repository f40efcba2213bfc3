// Fails if src/wire/gen is not what protocols/ generate.
import { resolve } from 'node:path'
import { GENERATED, staleFiles } from './generated.ts'

const stale = staleFiles(resolve(process.argv[2] ?? '.'))
if (stale.length === 0) {
  process.stdout.write('generated code is current\n')
} else {
  for (const file of stale) process.stderr.write(`${GENERATED}/${file} is not what protocols/ generate\n`)
  process.stderr.write('run `npm run generate` and commit the result\n')
  process.exitCode = 1
}
