import type { DescMethod, DescService, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import type { adminPb, apiPb, envoySdsPb, grpcHealthPb, grpcReflectionPb, spiffePb } from '../wire/index.ts'
import type { Caller } from './caller.ts'

type Method<M extends DescMethod> = M['methodKind'] extends 'bidi_streaming'
  ? (
      requests: AsyncIterable<MessageShape<M['input']>>,
      caller: Caller,
      signal: AbortSignal
    ) => AsyncIterable<MessageInitShape<M['output']>>
  : M['methodKind'] extends 'server_streaming'
    ? (
        request: MessageShape<M['input']>,
        caller: Caller,
        signal: AbortSignal
      ) => AsyncIterable<MessageInitShape<M['output']>>
    : (request: MessageShape<M['input']>, caller: Caller, signal: AbortSignal) => Promise<MessageInitShape<M['output']>>

/**
 * One function for each call of a service.
 *
 * `signal` aborts when the call is cancelled, its deadline passes, its connection closes or the server stops. A throw
 * of WarrenError reaches the caller with its code, reason and hint; any other throw reaches it as INTERNAL.
 */
export type Handlers<S extends DescService> = { readonly [K in keyof S['method']]: Method<S['method'][K]> }

/** The calls of workloads, on agent.sock. */
export interface WorkloadHandlers extends Handlers<typeof apiPb.WorkloadService> {}

/** The calls of software that speaks SPIFFE, on spiffe.sock. */
export interface SpiffeHandlers extends Handlers<typeof spiffePb.SpiffeWorkloadAPI> {}

/** The calls of Envoy, on spiffe.sock. */
export interface SecretHandlers extends Handlers<typeof envoySdsPb.SecretDiscoveryService> {}

/** The calls of probes, on spiffe.sock. */
export interface HealthHandlers extends Handlers<typeof grpcHealthPb.Health> {}

/** The calls of tools that find out what a server offers, on spiffe.sock. */
export interface ReflectionHandlers extends Handlers<typeof grpcReflectionPb.ServerReflection> {}

/** All calls of spiffe.sock but reflection, which knows them from their descriptions. */
export interface SpiffeSocketHandlers {
  readonly workloadApi: SpiffeHandlers
  readonly secrets: SecretHandlers
  /** By the full name of each service: whether it is well now. */
  readonly isServing: () => boolean
  /** Resolves at the next change of it. */
  readonly changed: () => Promise<void>
}

/** The calls of the operator, on admin.sock. */
export interface AdminHandlers extends Handlers<typeof adminPb.AdminService> {}
