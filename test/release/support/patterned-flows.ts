// Runs on a host: `server PORT` echoes. `client PORT COUNT` opens flows; at each line it moves all of them, and says how long each had stood
// still since the line before; at the end of its input it ends them.
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { type Kind, PatternedFlow } from '../../integration/support/patterned-flow.ts'

const KINDS: readonly Kind[] = ['idle', 'interactive', 'interactive', 'bulk']
const LOOK_MS = 20
const MOVED_BYTES: Readonly<Record<Kind, number>> = { idle: 0, interactive: 1024, bulk: 4 * 1024 * 1024 }

/** The longest time that a flow stood still. */
class Stillness {
  readonly #flow: PatternedFlow
  #received = 0
  #sinceMs = performance.now()
  #longestMs = 0

  constructor(flow: PatternedFlow) {
    this.#flow = flow
  }

  look(): void {
    const nowMs = performance.now()
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#sinceMs)
    if (this.#flow.received === this.#received) return
    this.#received = this.#flow.received
    this.#sinceMs = nowMs
  }

  take(): number {
    const longestMs = Math.round(this.#longestMs)
    this.#longestMs = 0
    return longestMs
  }
}

const [role, port, count] = process.argv.slice(2)
if (role === 'server') {
  const server = createServer({ allowHalfOpen: true }, socket => void socket.on('error', () => {}).pipe(socket))
  await once(server.listen(Number(port), '127.0.0.1'), 'listening')
  say({ listens: port })
} else {
  const flows = Array.from(
    { length: Number(count) },
    (_, at) => new PatternedFlow(KINDS[at % KINDS.length] ?? 'idle', Number(port), at)
  )
  await Promise.all(flows.map(flow => flow.begin()))
  const still = flows.filter(({ kind }) => kind === 'interactive').map(flow => new Stillness(flow))
  const looking = setInterval(() => {
    for (const one of still) one.look()
  }, LOOK_MS)
  say({ faults: faultsOf(flows), open: flows.length })
  for await (const _ of createInterface({ input: process.stdin })) {
    await Promise.all(
      flows.map(flow => (flow.kind === 'idle' ? flow.exchange() : flow.reaches(flow.received + MOVED_BYTES[flow.kind])))
    )
    say({ faults: faultsOf(flows), stillMs: still.map(one => one.take()) })
  }
  clearInterval(looking)
  await Promise.all(flows.map(flow => flow.end()))
  say({ faults: faultsOf(flows), ended: true })
}

function faultsOf(flows: readonly PatternedFlow[]): string[] {
  return flows.flatMap(({ fault }) => fault ?? [])
}

function say(what: object): void {
  process.stdout.write(`${JSON.stringify(what)}\n`)
}
