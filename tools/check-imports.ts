// Fails if a folder of src/ imports or uses what tools/imports/layers.ts does not allow it, if folders import each other in a
// circle, if a large one has no index.ts, if a file is longer than one concept, or if a file imports from another twice.
import { resolve } from 'node:path'
import { circles, overgrown, tooLong, withoutIndex } from './imports/circles.ts'
import { layering } from './imports/layering.ts'
import { readModules } from './imports/read.ts'
import { repeated } from './imports/repeated.ts'

const root = resolve(process.argv[2] ?? '.')
const modules = readModules(root, resolve(root, 'tsconfig.json'))
const rules = [layering, circles, withoutIndex, tooLong, overgrown, repeated]
const violations = rules.flatMap(rule => rule(modules))
for (const { file, line, text } of violations) process.stderr.write(`${file}:${line} ${text}\n`)
const checked = modules.filter(({ file }) => file.startsWith('src/')).length
if (checked === 0) {
  process.stderr.write('no file under src/ was found\n')
  process.exitCode = 1
} else if (violations.length > 0) {
  process.stderr.write(
    `${violations.length} import${violations.length === 1 ? '' : 's'}, folders or files against the rules\n`
  )
  process.exitCode = 1
} else {
  process.stdout.write(`imports of ${checked} files point in the right direction\n`)
}
