// Starts a command, writes it a line each 100 ms and expects an answer to each, in order, until it gets a line itself. Then it
// ends the command and says how many there were, and the longest time without an answer. Each answer ends with the number of
// its line.
// keep-talking.mjs FORMAT COMMAND…    the line is FORMAT with `N` replaced by its number, which has 40 digits
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const [format = '', command = '', ...args] = process.argv.slice(2)
const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
const number = n => String(n).padStart(40, '0')
let asked = 0
let answered = 0
let heardMs = performance.now()
let longestMs = 0
const fail = why => {
  console.log(`broken: ${why}`)
  process.exit(1)
}
const timer = setInterval(() => child.stdin.write(`${format.replace('N', number(asked++))}\n`), 100)
createInterface({ input: child.stdout }).on('line', line => {
  if (!line.endsWith(number(answered))) fail(`"${line}" instead of ${answered}`)
  answered++
  longestMs = Math.max(longestMs, performance.now() - heardMs)
  heardMs = performance.now()
  if (answered % 10 === 0) console.log(`answered ${answered}`)
})
process.stdin.once('data', () => {
  clearInterval(timer)
  child.stdin.end()
})
child.on('close', code => {
  if (code !== 0 || answered !== asked) fail(`${answered} of ${asked} were answered, and ${command} ended with ${code}`)
  console.log(`intact: ${answered}, longest pause ${Math.round(longestMs)} ms`)
})
