// Fails if a file of src/ reads a stream by an iterator where that loses bytes; tools/streams/allowed.ts says where it does not.
import { resolve } from 'node:path'
import { ALLOWED, STRICT } from './streams/allowed.ts'
import { readStreams } from './streams/read.ts'
import { checkStreams } from './streams/rules.ts'

const root = resolve(process.argv[2] ?? '.')
const { files, reads } = readStreams(root, resolve(root, 'tsconfig.json'))
const violations = checkStreams(reads, files, { allowed: ALLOWED, strict: STRICT })
for (const violation of violations) process.stderr.write(`${violation}\n`)
const checked = files.filter(file => file.startsWith('src/')).length
if (checked === 0) {
  process.stderr.write('no file under src/ was found\n')
  process.exitCode = 1
} else if (violations.length > 0) {
  process.stderr.write(`${violations.length} streams are read in a forbidden way\n`)
  process.exitCode = 1
} else {
  process.stdout.write(`streams are read by events in ${checked} files\n`)
}
