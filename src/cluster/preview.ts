import { type Address, formatAddress } from '../identity/index.ts'
import type { Bundle } from '../policy/index.ts'
import type { Authorizer } from './authorizer.ts'

/** A flow that would be cut, and the reason that its ends would get. */
export interface PreviewedCut<F> {
  readonly flow: F
  readonly reason: string
}

/** A registration of this host that no entry would grant any more. */
export interface PreviewedEnd {
  readonly registrationId: string
  readonly address: Address
  readonly uid: number
}

export interface PreviewDeps<F> {
  readonly authorizer: Pick<Authorizer, 'authorize'>
  readonly proxy: {
    /** The flows that `reevaluate` would cut if `authorize` answered so, and those of registrations that end. */
    readonly preview: (
      authorize: (question: Parameters<Authorizer['authorize']>[0]) => ReturnType<Authorizer['authorize']>,
      endedOf: (registrationId: string) => string | undefined
    ) => PreviewedCut<F>[]
  }
  readonly workloads: {
    /** The registrations that `review` would end if these were the entries. */
    readonly preview: (policy: Pick<Bundle, 'entries' | 'strict'>) => Promise<readonly PreviewedEnd[]>
  }
}

export interface Consequences<F> {
  readonly flows: readonly PreviewedCut<F>[]
  readonly registrations: readonly (PreviewedEnd & { readonly name: string })[]
}

/**
 * What would end on this host if `bundle` came into force now. Changes nothing.
 *
 * It asks the same functions as `Enforcement` does after a change of policy, in the same order: flows, then registrations with
 * the flows that they have left. Other hosts are not asked.
 */
export async function previewPolicy<F>(deps: PreviewDeps<F>, bundle: Bundle): Promise<Consequences<F>> {
  const { authorizer, proxy, workloads } = deps
  const ending = new Map((await workloads.preview(bundle)).map(end => [end.registrationId, end]))
  const flows = proxy.preview(
    question => authorizer.authorize(question, bundle),
    id => (ending.has(id) ? 'no longer granted' : undefined)
  )
  const registrations = [...ending.values()].map(end => ({ ...end, name: formatAddress(end.address) }))
  return { flows, registrations }
}
