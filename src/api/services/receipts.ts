import type { MessageInitShape } from '@bufbuild/protobuf'
import type { HostReceipt, Inquiries } from '../../cluster/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { adminPb } from '../../wire/index.ts'
import type { AdminHandlers } from '../handlers.ts'

export interface ReceiptHandlersDeps {
  readonly inquiries: Pick<Inquiries, 'receipts'>
}

const WAIT_MS = 10_000
const MAX_WAIT_MS = 3_600_000

/** The call that waits for the hosts which apply a version of the policy. */
export function receiptHandlers({ inquiries }: ReceiptHandlersDeps): Pick<AdminHandlers, 'awaitReceipts'> {
  return {
    async *awaitReceipts({ version, timeoutMs }, { share }, signal) {
      for await (const { hosts, ...rest } of inquiries.receipts.collect(version, waitMs(timeoutMs), signal)) {
        yield { ...rest, hosts: hosts.map(hostMessage) }
        await share.turn(signal)
      }
    }
  }
}

/** How long to wait for other hosts, in milliseconds. Throws INVALID_ARGUMENT. */
export function waitMs(timeoutMs: number): number {
  if (timeoutMs <= MAX_WAIT_MS) return timeoutMs === 0 ? WAIT_MS : timeoutMs
  throw new WarrenError(ErrorCode.InvalidArgument, 'the time to wait for is above one hour')
}

function hostMessage(host: HostReceipt): MessageInitShape<typeof adminPb.HostReceiptSchema> {
  const { machine, state, version = 0n, flowsCut, registrationsEnded, appliedAtMs = 0, sinceMs = 0, problem } = host
  return {
    machine,
    state,
    policyVersion: version,
    appliedAtMs: BigInt(Math.round(appliedAtMs)),
    sinceMs: BigInt(Math.round(sinceMs)),
    ...(flowsCut === undefined ? {} : { flowsCut }),
    ...(registrationsEnded === undefined ? {} : { registrationsEnded }),
    ...(problem === undefined ? {} : { problem })
  }
}
