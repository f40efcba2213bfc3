import { Agent as HttpAgent, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import type { TlsFiles } from '../config/index.ts'
import { ErrorCode, WarrenError, within } from '../core/index.ts'
import { readBody } from '../wire/index.ts'
import { type Receiver, STALL_MS, type Take } from './receiver.ts'
import { readTlsFiles, readToken } from './tls-files.ts'

const MAX_HEADER_BYTES = 8_192
/** Of an answer only this much is taken. */
const MAX_ANSWER_BYTES = 65_536

export interface HttpReceiverOptions<T> {
  readonly url: URL
  readonly tls: TlsFiles | undefined
  /** File of the bearer token. */
  readonly token: string | undefined
  readonly headers: (items: readonly T[]) => Readonly<Record<string, string>>
  readonly body: (items: readonly T[]) => Buffer
  /** Items of one request. */
  readonly maxItems: number
  /** Called with the answer to items that were accepted. */
  readonly onAnswer: (answer: string) => void
}

/** A receiver that answers each batch of items. An answer other than 2xx is a failure; it is never led elsewhere. */
export class HttpReceiver<T> implements Receiver<T> {
  readonly #options: HttpReceiverOptions<T>
  readonly #agent: HttpAgent | HttpsAgent
  #maxItems: number

  constructor(options: HttpReceiverOptions<T>) {
    this.#options = options
    this.#maxItems = options.maxItems
    const kept = { keepAlive: true, maxSockets: 1 }
    this.#agent = options.tls === undefined ? new HttpAgent(kept) : new HttpsAgent(kept)
  }

  async deliver(take: Take<T>, signal: AbortSignal): Promise<void> {
    const items = await take(this.#maxItems)
    if (items.length === 0) return
    const body = this.#options.body(items)
    const { status, text } = await within(STALL_MS, [signal], inner => this.#post(items, body, inner))
    if (status >= 200 && status < 300) {
      this.#maxItems = Math.min(this.#options.maxItems, this.#maxItems * 2)
      this.#options.onAnswer(text)
      return
    }
    if (status === 413) this.#maxItems = Math.max(1, Math.floor(items.length / 2))
    throw refusal(status, this.#options.token !== undefined)
  }

  close(): void {
    this.#agent.destroy()
  }

  async #post(
    items: readonly T[],
    body: Buffer,
    signal: AbortSignal
  ): Promise<{ readonly status: number; readonly text: string }> {
    const { url, tls, token, headers } = this.#options
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>()
    const options = {
      method: 'POST',
      agent: this.#agent,
      signal,
      maxHeaderSize: MAX_HEADER_BYTES,
      headers: {
        ...headers(items),
        'content-length': body.length,
        ...(token === undefined ? {} : { authorization: `Bearer ${readToken(token)}` })
      }
    }
    const request =
      tls === undefined ? requestHttp(url, options) : requestHttps(url, { ...options, ...readTlsFiles(tls) })
    request.on('error', (err: NodeJS.ErrnoException) => {
      // The receiver has closed an idle connection at this very moment.
      const isLate = request.reusedSocket && err.code === 'ECONNRESET' && !signal.aborted
      if (isLate) this.#post(items, body, signal).then(resolve, reject)
      else reject(err)
    })
    request.on('response', response => {
      readBody(response, { maxBytes: MAX_ANSWER_BYTES, signal }).then(
        answer => resolve({ status: response.statusCode ?? 0, text: answer.toString() }),
        err => {
          request.destroy()
          reject(err)
        }
      )
    })
    request.end(body)
    return await promise
  }
}

function refusal(status: number, hasToken: boolean): WarrenError {
  const hint =
    status === 401 || status === 403
      ? hasToken
        ? 'Write another token into its file.'
        : 'Name the file of a token behind the address: #token=/etc/warren/collector.token'
      : status >= 300 && status < 400
        ? 'It is not followed elsewhere: give the address to which it leads.'
        : 'Look into the log of the receiver.'
  return new WarrenError(ErrorCode.CannotConnect, `the receiver answered ${status}`, { hint })
}
