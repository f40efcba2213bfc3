import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { MeshDatagramSocket } from '../../../client/index.ts'

const NEWLINE = Buffer.from('\n')
/** Lines may be sent faster than a flow takes them; a person or a script gets this long before one is dropped. */
const RETRY_MS = 5

/** The lines of `input`, each without its end, as datagrams for `send`. */
export async function sendLines(input: Readable, send: (line: string) => void | Promise<void>): Promise<void> {
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) await send(line)
}

/** Sends `line`, and waits a while for room first if there is none. */
export async function sendPatiently(socket: MeshDatagramSocket, line: string): Promise<void> {
  for (let attempts = 0; attempts < 10; attempts += 1) {
    if (socket.send(line) || socket.closed) return
    await new Promise(resolve => setTimeout(resolve, RETRY_MS))
  }
}

/** Writes a datagram as a line: one that ends in a line end keeps it, any other gets one. */
export function writeLine(output: Writable, payload: Buffer): boolean {
  const ended = payload.at(-1) === NEWLINE[0]
  return output.write(ended ? payload : Buffer.concat([payload, NEWLINE]))
}

/**
 * Joins a flow of datagrams to standard input and output: a line is a datagram.
 *
 * Resolves once the flow has ended: after the end of the input that is when no answer has come for a while. Rejects with
 * FLOW_CUT.
 */
export async function relayLines(socket: MeshDatagramSocket, input: Readable, output: Writable): Promise<void> {
  const sending = sendLines(input, line => sendPatiently(socket, line)).then(() => socket.end())
  // The flow may end first; nobody waits for more input then.
  sending.catch(() => {})
  try {
    for await (const payload of socket) {
      if (!writeLine(output, payload)) await new Promise<void>(resolve => output.once('drain', resolve))
    }
  } finally {
    await socket.close()
    input.destroy()
  }
}
