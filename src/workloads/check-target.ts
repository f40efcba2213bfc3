import type { AttestedProcess, ProcessHandle } from '../attest/index.ts'
import { type Address, spiffeIdOf } from '../identity/index.ts'
import type { Grants } from './grants.ts'
import type { RegisterInput } from './register-input.ts'
import { checkUnixTarget } from './unix-target.ts'

export interface TargetDeps {
  readonly grants: Grants
  readonly trustDomain: string
  /** Directory of the agent's own sockets: none of them can be a target. */
  readonly runtimeDir: string
  /** Has sockets of the agent as well. @default none */
  readonly shareDir?: string | undefined
}

/** Checks the path of a target, for a caller who has a grant: another must not learn what is there. */
export async function checkTarget(
  { grants, trustDomain, runtimeDir, shareDir }: TargetDeps,
  { target }: RegisterInput,
  address: Address,
  process: ProcessHandle,
  facts: readonly AttestedProcess[]
): Promise<void> {
  if (target?.kind !== 'unix') return
  grants.require(address, spiffeIdOf(trustDomain, address), facts)
  await checkUnixTarget(process, target.path, shareDir === undefined ? [runtimeDir] : [runtimeDir, shareDir])
}
