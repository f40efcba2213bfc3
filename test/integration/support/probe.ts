import { Program, type Scope } from '../../harness/index.ts'

// Does what each line of its input asks for and prints what came of it, until the input ends. It is one program without any
// library, so that it runs wherever Node does.
const SCRIPT = `
const net = require('node:net'), fs = require('node:fs'), http = require('node:http')
const kept = []
const does = {
  call: ({ socket, path, body, headers }, done) => {
    const text = JSON.stringify(body)
    const all = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...headers }
    const request = http.request({ socketPath: socket, path, method: 'POST', headers: all, agent: false }, response => {
      let answer = ''
      response.on('data', chunk => { answer += chunk }).on('end', () => done({ status: response.statusCode, answer }))
    })
    request.on('error', err => done({ error: err.code })).end(text)
  },
  open: ({ path, text }, done) => {
    let data = '', error
    const socket = net.connect(path, () => socket.write(text))
    socket.setTimeout(20000, () => socket.destroy())
    socket.on('data', chunk => { data += chunk; socket.end() }).on('error', err => { error = err.code })
    socket.on('close', () => done({ data, error }))
  },
  serve: ({ path, answer }, done) => {
    const server = net.createServer(socket => socket.on('error', () => {}).on('data', () => socket.end(answer)))
    kept.push(server)
    server.on('error', err => done({ error: err.code })).listen(path, () => { fs.chmodSync(path, 0o777); done({}) })
  },
  port: ({ answer }, done) => {
    const server = net.createServer(socket => socket.on('error', () => {}).on('data', () => socket.end(answer)))
    kept.push(server)
    server.listen(0, '127.0.0.1', () => done({ port: server.address().port }))
  },
  link: ({ to, path }, done) => { fs.rmSync(path, { force: true }); fs.symlinkSync(to, path); done({}) },
  remove: ({ path }, done) => { fs.rmSync(path); done({}) },
  become: ({ uid }, done) => { process.setgroups([]); process.setgid(uid); process.setuid(uid); done({}) }
}
require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
  const { id, ask, ...rest } = JSON.parse(line)
  const done = what => console.log('ANSWER ' + id + ' ' + JSON.stringify(what))
  try { does[ask](rest, done) } catch (err) { done({ error: err.code ?? String(err) }) }
}).on('close', () => process.exit())
console.log('READY')`

export interface Answer {
  readonly status?: number
  /** Of a call: the body, as text. */
  readonly answer?: string
  readonly data?: string
  readonly error?: string
  readonly port?: number
}

/** A process that makes calls, connects and serves, wherever and as whom it was started. */
export class Probe {
  readonly program: Program
  #asked = 0

  /** `place` makes the command line out of that of the probe. */
  constructor(scope: Scope, place: (argv: readonly string[]) => readonly string[] = argv => argv) {
    this.program = new Program(scope, place([process.execPath, '-e', SCRIPT]))
  }

  static async start(scope: Scope, place?: (argv: readonly string[]) => readonly string[]): Promise<Probe> {
    const probe = new Probe(scope, place)
    await probe.program.says(/READY/)
    return probe
  }

  async ask(what: string, more: object = {}): Promise<Answer> {
    this.#asked += 1
    const id = this.#asked
    this.program.stdin.write(`${JSON.stringify({ id, ask: what, ...more })}\n`)
    const [, text = ''] = await this.program.says(new RegExp(`ANSWER ${id} (.*)\n`))
    return JSON.parse(text) as Answer
  }

  /** A call of the local API; the answer as text, an error's too. */
  async call(socket: string, method: string, body: object = {}): Promise<string> {
    const { answer = '', error } = await this.ask('call', { socket, path: `/warren.api.v1.${method}`, body })
    return error ?? answer
  }

  /** Registers; the answer as it was given. */
  async register(socket: string, input: object): Promise<Record<string, string>> {
    const text = await this.call(socket, 'WorkloadService/Register', input)
    try {
      return JSON.parse(text) as Record<string, string>
    } catch (cause) {
      throw new Error(`Register answered ${text}`, { cause })
    }
  }

  /** What spiffe.sock gives: the answer to a fetch of a JWT, as text. */
  async fetchJwt(socket: string): Promise<string> {
    const path = '/SpiffeWorkloadAPI/FetchJWTSVID'
    const headers = { 'workload.spiffe.io': 'true' }
    const { answer = '', error } = await this.ask('call', { socket, path, headers, body: { audience: ['test'] } })
    return error ?? answer
  }
}
