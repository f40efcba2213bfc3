import { request } from 'node:http'

export interface Reply {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly body: unknown
}

/** One call of the local API as `curl --unix-socket` makes it: JSON over HTTP/1.1, without warren's own library. */
export async function localCall(socketPath: string, method: string, body: unknown = {}): Promise<Reply> {
  const done = Promise.withResolvers<Reply>()
  const path = `/warren.api.v1.${method}`
  const headers = { 'content-type': 'application/json' }
  const call = request({ socketPath, path, method: 'POST', headers, agent: false }, response => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('error', done.reject)
    response.on('end', () => {
      const text = Buffer.concat(chunks).toString()
      try {
        done.resolve({ status: response.statusCode ?? 0, headers: response.headers, body: JSON.parse(text) })
      } catch (cause) {
        done.reject(new Error(`${method} answered ${response.statusCode} ${text.slice(0, 200)}`, { cause }))
      }
    })
  })
  call.on('error', done.reject)
  call.end(JSON.stringify(body))
  return await done.promise
}
