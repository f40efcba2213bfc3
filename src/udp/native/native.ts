import type { MessageCalls } from './calls.ts'
import { ReceiveBatch } from './receive-batch.ts'
import { SendBatch } from './send-batch.ts'

/** State that all sockets of a process share: 2.3 MB of memory, of which the system grants only the used part. */
export class NativeUdp {
  readonly sending: SendBatch
  readonly receiving: ReceiveBatch
  readonly canSegment: boolean

  constructor(calls: MessageCalls, canSegment: boolean) {
    this.sending = new SendBatch(calls)
    this.receiving = new ReceiveBatch(calls)
    this.canSegment = canSegment
  }
}
