import { at, Program, type Scope, type TestAgent } from '../../harness/index.ts'

// Opens streams of WatchServices, as gRPC, on one connection. Prints each end as REFUSED and its status, and each message that was
// read in full as STATE; `stalled` lets the agent send no data at all.
const FLOOD = `
  const [, socketPath, count, reads] = process.argv
  const { connect } = require('node:http2')
  const session = connect('http://agent', { 
    createConnection: () => require('node:net').connect(socketPath),
    settings: reads === 'reads' ? {} : { initialWindowSize: 0 }
  })
  session.on('error', () => {})
  for (let index = 0; index < Number(count); index += 1) {
    const stream = session.request({
      ':method': 'POST', ':path': '/warren.api.v1.WorkloadService/WatchServices',
      'content-type': 'application/grpc', te: 'trailers'
    })
    stream.on('error', () => {})
    stream.on('trailers', trailers => console.log('REFUSED ' + trailers['grpc-status'] + ' ' + trailers['warren-error']))
    stream.end(Buffer.alloc(5))
    if (reads !== 'reads') continue
    let buffered = Buffer.alloc(0)
    stream.on('data', chunk => {
      buffered = Buffer.concat([buffered, chunk])
      while (buffered.length >= 5 && buffered.length >= 5 + buffered.readUInt32BE(1)) {
        buffered = buffered.subarray(5 + buffered.readUInt32BE(1))
        console.log('STATE')
      }
    })
  }`

/** A process of `uid` with `count` streams of WatchServices; `wrap` makes its command line. */
export class WatchFlood {
  readonly #program: Program

  constructor(
    scope: Scope,
    agent: TestAgent,
    uid: number,
    count: number,
    reads: 'reads' | 'stalled',
    wrap = (argv: readonly string[]) => argv
  ) {
    const argv = [process.execPath, '-e', FLOOD, agent.socket, String(count), reads]
    this.#program = new Program(scope, wrap(at({ uid }, argv)))
  }

  /** The gRPC status and the code of each stream that was refused. */
  get refusals(): string[] {
    return [...this.#program.stdout.matchAll(/^REFUSED (.*)$/gm)].map(([, how = '']) => how)
  }

  /** The states that were read on all streams. */
  get states(): number {
    return this.#program.stdout.match(/^STATE$/gm)?.length ?? 0
  }

  async end(): Promise<void> {
    await this.#program.kill()
  }
}
