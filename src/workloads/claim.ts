import type { AttestedProcess, ProcessHandle } from '../attest/index.ts'
import { ErrorCode, WarrenError } from '../core/index.ts'
import type { Address } from '../identity/index.ts'
import type { Grants } from './grants.ts'
import { processOf, sameProcess } from './owned-process.ts'
import type { RegisterInput, Registrant } from './register-input.ts'
import type { ServerUser } from './server-user.ts'
import type { Workload } from './workload.ts'

/** The facts about a claim to an address. */
export interface Claim {
  readonly address: Address
  readonly process: ProcessHandle
  readonly facts: readonly AttestedProcess[]
  readonly serverUser: ServerUser
}

/** A handle of its own on the process that a registration is for. Throws INVALID_SOURCE or INVALID_ARGUMENT. */
export function ownerOf({ ownerPid }: RegisterInput, caller: Registrant): ProcessHandle {
  const isSelf = caller.view.sharesPids && ownerPid === caller.process.pid
  return ownerPid === 0 || isSelf ? sameProcess(caller.process) : processOf(ownerPid, caller)
}

/** What stands for the process of a registration that a file declares: the agent, until the registration ends. */
export function declaredProcess(): ProcessHandle {
  let isOpen = true
  return {
    pid: process.pid,
    isAlive: () => isOpen,
    close() {
      isOpen = false
    }
  }
}

/** The facts about a claim to `address`: about the caller, and the process that it is for, if that is another one. */
export async function attestClaim(
  grants: Grants,
  process: ProcessHandle,
  caller: Registrant,
  address: Address
): Promise<AttestedProcess[]> {
  const { uid, gid } = caller
  const facts = [await grants.attest(caller, address)]
  if (process.pid !== caller.process.pid) facts.push(await grants.attest({ uid, gid, process }, address))
  // It may have ended while an executable was hashed; its registration would end, but only after having begun.
  if (process.isAlive() && caller.process.isAlive()) return facts
  throw new WarrenError(ErrorCode.InvalidSource, `process ${process.pid} has ended`)
}

/** Whether the entries grant a registration to each process whose facts were read for it. */
export function isGranted(grants: Grants, { address, facts, ...claim }: Workload): boolean {
  const inForce = grants.forClaim(claim)
  return facts.every(process => inForce.isGranted(address, process))
}

/** The registrations that nothing grants any more. */
export async function notGranted(grants: Grants, workloads: readonly Workload[]): Promise<Workload[]> {
  const found: Workload[] = []
  for (const workload of workloads) {
    if (!isGranted(grants, workload) && !(await isGrantedAnew(grants, workload))) found.push(workload)
  }
  return found
}

/** Whether entries that need facts which were not read at the registration grant the claim even so. */
export async function isGrantedAnew(all: Grants, workload: Workload): Promise<boolean> {
  const { address, facts, process, uid, gid } = workload
  const grants = all.forClaim(workload)
  // Without a process nothing more can be found out.
  if (facts.some(({ isDeclared }) => isDeclared === true)) return false
  if (facts.length !== 1 || !grants.isUndecided(address, facts)) return false
  const again = await grants.attest({ uid, gid, process }, address).catch(() => undefined)
  return again !== undefined && grants.isGranted(address, again)
}
