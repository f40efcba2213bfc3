import type { MessageInitShape } from '@bufbuild/protobuf'
import type { HostReceipt, Receipts } from '../../cluster/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { adminPb } from '../../wire/index.ts'
import type { AdminHandlers } from '../handlers.ts'

export interface ReceiptHandlersDeps {
  readonly receipts: Pick<Receipts, 'collect'>
}

const WAIT_MS = 10_000
const MAX_WAIT_MS = 3_600_000

/** The call that waits for the hosts which apply a version of the policy. */
export function receiptHandlers({ receipts }: ReceiptHandlersDeps): Pick<AdminHandlers, 'awaitReceipts'> {
  return {
    async *awaitReceipts({ version, timeoutMs }, { share }, signal) {
      if (timeoutMs > MAX_WAIT_MS) {
        throw new WarrenError(ErrorCode.InvalidArgument, 'the time to wait for is above one hour')
      }
      for await (const { hosts, ...rest } of receipts.collect(version, timeoutMs === 0 ? WAIT_MS : timeoutMs, signal)) {
        yield { ...rest, hosts: hosts.map(hostMessage) }
        await share.turn(signal)
      }
    }
  }
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
