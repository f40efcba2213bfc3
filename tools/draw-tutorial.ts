// Draws the pictures of docs/tutorial.md. With --check it fails if one of them is not current.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PICTURES } from './tutorial/pictures.ts'
import { svgOf } from './tutorial/svg.ts'

const directory = join(resolve(import.meta.dirname, '..'), 'docs', 'tutorial')
mkdirSync(directory, { recursive: true })
for (const picture of PICTURES) {
  const path = join(directory, `${picture.name}.svg`)
  const drawn = svgOf(picture)
  if (!process.argv.includes('--check')) {
    writeFileSync(path, drawn)
  } else if (readFileSync(path, 'utf8') !== drawn) {
    process.stderr.write(
      `${path} is not what tools/tutorial/pictures.ts says\nrun \`npm run draw\` and commit the result\n`
    )
    process.exitCode = 1
  }
}
if (process.argv.includes('--check') && process.exitCode === undefined) {
  process.stdout.write('the pictures of the tutorial are current\n')
}
