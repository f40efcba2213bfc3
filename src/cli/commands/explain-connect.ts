import { once } from 'node:events'
import type { Socket } from 'node:net'
import { type ConnectStep, connect } from '../../client/index.ts'
import { WarrenError } from '../../core/index.ts'
import type { Context } from '../context.ts'
import { printable } from '../output/index.ts'

/** For how long the server is given the first word. */
const FIRST_WORD_MS = 1_000

export interface TriedConnection {
  readonly works: boolean
  /** The instance that accepted. */
  readonly peer: string
  readonly steps: ReadonlyArray<{ readonly step: string; readonly ms: number }>
  /** "sent", "silent", "ended" or "failed". */
  readonly server: string
  readonly problem: string
}

const WORDS: Readonly<Record<ConnectStep, string>> = {
  registered: 'the source is registered',
  checked: 'policy, path and session to the other agent',
  accepted: 'the other end has accepted'
}

/** Makes a connection as the source, sends nothing, and says how long each step took. Never rejects. */
export async function tryConnection(
  { agent: client }: Context,
  { source, destination }: { readonly source: string; readonly destination: string }
): Promise<{ readonly view: TriedConnection; readonly text: string }> {
  const steps: Array<{ step: string; ms: number }> = []
  let last = performance.now()
  const note = (step: string): void => {
    const now = performance.now()
    steps.push({ step, ms: Math.round((now - last) * 10) / 10 })
    last = now
  }
  try {
    // A registration is for this host: the machine is not part of it.
    const as = source.split('.').slice(0, 4).join('.')
    const options = { client, as, application: 'warren explain', onStep: (step: ConnectStep) => note(WORDS[step]) }
    const socket = await connect(destination, options)
    const server = await firstWord(socket)
    note(SERVER[server])
    socket.destroy()
    return told({ works: server !== 'failed', peer: socket.peer.address, steps, server, problem: '' })
  } catch (err) {
    const { code, reason } = WarrenError.from(err)
    return told({ works: false, peer: '', steps, server: 'failed', problem: `${code}: ${reason}` })
  }
}

const SERVER = {
  sent: 'the first bytes of the server',
  silent: 'the server sent nothing: it may wait for the client to begin, or stand still',
  ended: 'the server ended the connection',
  failed: 'the connection failed'
} as const

async function firstWord(socket: Socket): Promise<keyof typeof SERVER> {
  const timeout = AbortSignal.timeout(FIRST_WORD_MS)
  const event = (name: string): Promise<string> => once(socket, name, { signal: timeout }).then(() => name)
  try {
    const first = await Promise.race([event('data'), event('end'), event('close')])
    return first === 'data' ? 'sent' : 'ended'
  } catch {
    return timeout.aborted ? 'silent' : 'failed'
  }
}

function told(view: TriedConnection): { readonly view: TriedConnection; readonly text: string } {
  const width = Math.max(0, ...view.steps.map(({ ms }) => ms.toFixed(1).length))
  const lines = view.steps.map(({ step, ms }) => `${ms.toFixed(1).padStart(width)} ms  ${step}`)
  const result = view.problem === '' ? `connected to ${view.peer}` : `the connection failed: ${view.problem}`
  return { view, text: [...lines, printable(result)].join('\n') }
}
