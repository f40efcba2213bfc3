import type { AttestedProcess, ProcessHandle } from '../attest/index.ts'
import { type Address, spiffeIdOf } from '../identity/index.ts'
import type { Grants } from './grants.ts'
import type { RegisterInput } from './register-input.ts'
import { checkUnixTarget } from './unix-target.ts'

export interface TargetDeps {
  readonly grants: Grants
  readonly trustDomain: string
  readonly runtimeDir: string
}

/** Checks the path of a target, for a caller who has a grant: another must not learn what is there. */
export async function checkTarget(
  { grants, trustDomain, runtimeDir }: TargetDeps,
  { target }: RegisterInput,
  address: Address,
  process: ProcessHandle,
  facts: readonly AttestedProcess[]
): Promise<void> {
  if (target?.kind !== 'unix') return
  grants.require(address, spiffeIdOf(trustDomain, address), facts)
  await checkUnixTarget(process, target.path, runtimeDir)
}
