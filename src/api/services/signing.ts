import type { Signing } from '../../cluster/index.ts'
import { adminPb } from '../../wire/index.ts'
import type { Caller } from '../caller.ts'
import type { AdminHandlers } from '../handlers.ts'

type Unary = (request: unknown, caller: Caller, signal: AbortSignal) => Promise<unknown>
type Stream = (request: unknown, caller: Caller, signal: AbortSignal) => AsyncIterable<unknown>

/** The same handlers. What their calls must sign is asked on the connection of the call, if the key is not on this host. */
export function askingForSignatures(signing: Signing, handlers: AdminHandlers): AdminHandlers {
  const asking = adminPb.AdminService.methods.map(({ localName, methodKind }) => {
    const handler = handlers[localName as keyof AdminHandlers].bind(handlers)
    const unary: Unary = (request, caller, signal) =>
      signing.within(caller.connection, () => (handler as Unary)(request, caller, signal))
    const stream: Stream = (request, caller, signal) =>
      signing.stream(caller.connection, () => (handler as Stream)(request, caller, signal))
    return [localName, methodKind === 'unary' ? unary : stream]
  })
  return Object.fromEntries(asking) as AdminHandlers
}
