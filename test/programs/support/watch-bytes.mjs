// Reads standard input to its end, says when each tenth of `BYTES` has come, and then the hash of all.
// watch-bytes.mjs BYTES
import { createHash } from 'node:crypto'

const all = Number(process.argv[2])
const hash = createHash('sha256')
let seen = 0
let tenth = 0
for await (const chunk of process.stdin) {
  hash.update(chunk)
  seen += chunk.length
  for (; tenth < 10 && seen >= (all * (tenth + 1)) / 10; tenth++) console.log(`part ${tenth + 1}`)
}
console.log(`whole ${seen} ${hash.digest('hex')}`)
