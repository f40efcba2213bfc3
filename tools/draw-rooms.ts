// Draws docs/architecture/rooms.svg from the import rules. With --check it fails if the picture is not current.
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { roomsOf } from './architecture/rooms.ts'
import { svgOf } from './architecture/svg.ts'
import { LAYERS } from './imports/layers.ts'

const picture = join(resolve(import.meta.dirname, '..'), 'docs', 'architecture', 'rooms.svg')
const drawn = svgOf(roomsOf(LAYERS))
if (!process.argv.includes('--check')) {
  writeFileSync(picture, drawn)
} else if (readFileSync(picture, 'utf8') !== drawn) {
  process.stderr.write(
    `${picture} is not what tools/imports/layers.ts says\nrun \`npm run draw\` and commit the result\n`
  )
  process.exitCode = 1
} else {
  process.stdout.write('the picture of the rooms is current\n')
}
