import { constants } from 'node:http2'
import type { UniversalServerResponse } from '@connectrpc/connect/protocol'
import type { Response } from './request-listener.ts'
import type { Share } from './share.ts'

/**
 * Writes an answer, and waits for its reader after each part: what is written and not yet sent counts for `share`.
 *
 * The adapter that comes with the library waits only beyond 64 KiB of each stream. Rejects when the response closes before its end.
 */
export async function writeAnswer(answer: UniversalServerResponse, response: Response, share?: Share): Promise<void> {
  // The head is sent after the first part is made: until then the call can still set headers.
  for await (const part of answer.body ?? []) {
    if (!response.headersSent) writeHead(answer, response)
    const release = share?.hold(part.length, () => cut(response))
    try {
      await write(response, part)
    } finally {
      release?.()
    }
  }
  if (!response.headersSent) writeHead(answer, response)
  if (answer.trailer !== undefined) response.addTrailers(Object.fromEntries(answer.trailer))
  response.end()
}

function writeHead({ status, header }: UniversalServerResponse, response: Response): void {
  const headers = Object.fromEntries(header ?? [])
  if ('stream' in response) response.writeHead(status, headers)
  else response.writeHead(status, headers)
}

/** Ends a call early; clients of gRPC and Connect read the code as RESOURCE_EXHAUSTED. */
export function cut(response: Response): void {
  if ('stream' in response) response.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)
  else response.destroy()
}

async function write(response: Response, part: Uint8Array): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onClose = (): void => reject(new Error('the caller has closed the call'))
  response.once('close', onClose)
  // Either kind of response takes the function that is called once the bytes are sent.
  ;(response.write as (chunk: Uint8Array, sent: (err?: Error | null) => void) => boolean).call(response, part, err => {
    if (err == null) resolve()
    else reject(err)
  })
  try {
    await promise
  } finally {
    response.off('close', onClose)
  }
}
