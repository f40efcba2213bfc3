import type {
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape
} from '@bufbuild/protobuf'

/** What a call may be given besides its request. */
export interface CallOptions {
  /** Ends the call, which then rejects with the reason of the signal. */
  readonly signal?: AbortSignal
  /** Time limit in milliseconds. @default that of the AgentClient; none for a stream */
  readonly timeoutMs?: number
  /** Whether the process stays for as long as the call lasts. @default true */
  readonly holdsProcess?: boolean
}

/**
 * The calls of a service, typed: a promise of the answer, or the messages of a stream.
 *
 * As `Client` of @connectrpc/connect, whose declarations need those of the DOM.
 */
export type Calls<S extends DescService> = {
  readonly [P in keyof S['method']]: S['method'][P] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : S['method'][P] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : never
}
