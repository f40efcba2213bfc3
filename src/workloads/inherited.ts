import { descriptorOfHandle, heldProcess, processReader } from '../attest/index.ts'
import type { Left, Logger, ProcessHandover } from '../core/index.ts'
import { type IdentityDocument, parseLocalName } from '../identity/index.ts'
import type { Claim } from './claim.ts'
import type { Grants } from './grants.ts'
import type { ListenDirectory } from './listen-directory.ts'
import type { RegisterInput, Registrant } from './register-input.ts'
import { serverUserOf } from './server-user.ts'
import type { Workload } from './workload.ts'

/** The name under which registrations are left to the next process. */
export const REGISTRATIONS = 'registrations'

/** A registration that one process of the agent leaves to the next. */
export interface Inherited {
  readonly input: RegisterInput
  readonly document: IdentityDocument
  readonly tokenHash: string
  readonly uid: number
  readonly gid: number
  readonly pid: number
  readonly sharesNetwork: boolean
  /** The directory made for its listening socket; the numbers are decimal text. */
  readonly made?: Pick<ListenDirectory, 'directory' | 'socketPath'> & { readonly dev: string; readonly ino: string }
}

/** One of them, with the handle on its process. */
export interface Resumed extends Pick<Inherited, 'input' | 'document' | 'tokenHash'> {
  readonly caller: Registrant
  readonly made: ListenDirectory | undefined
}

/**
 * What the next process gets: everything but what files declare, which it begins itself. The descriptors hold the processes, so that
 * no other one can get their ids meanwhile.
 */
export function left(
  workloads: readonly Workload[],
  requests: ReadonlyMap<string, Pick<Inherited, 'input' | 'sharesNetwork'>>
): Left {
  const data: Inherited[] = []
  const descriptors: number[] = []
  for (const workload of workloads) {
    const { registrationId, document, tokenHash, uid, gid, process, directory, target } = workload
    const request = requests.get(registrationId)
    const fd = descriptorOfHandle(process)
    if (request === undefined || fd === undefined) continue
    const found = target?.kind === 'unix' && directory !== undefined ? target : undefined
    const id = found?.made
    data.push({
      ...request,
      document,
      tokenHash,
      uid,
      gid,
      pid: process.pid,
      ...(found !== undefined && id !== undefined && directory !== undefined
        ? { made: { directory, socketPath: found.path, dev: String(id.dev), ino: String(id.ino) } }
        : {})
    })
    descriptors.push(fd)
  }
  return { data, descriptors }
}

// Each with its descriptor.
function inherited(found: Left | undefined): Array<Inherited & { readonly fd: number }> {
  const { data = [], descriptors = [] } = (found ?? {}) as {
    data?: readonly Inherited[]
    descriptors?: readonly number[]
  }
  return data.flatMap((one, at) => {
    const fd = descriptors[at]
    return fd === undefined || fd < 0 ? [] : [{ ...one, fd }]
  })
}

function resumedFrom(one: Inherited & { readonly fd: number }): Resumed {
  const { input, document, tokenHash, uid, gid, pid, fd, sharesNetwork, made } = one
  const process = heldProcess(pid, fd)
  return {
    input,
    document,
    tokenHash,
    caller: { uid, gid, process, view: processReader().viewOf(pid), sharesNetwork },
    made:
      made === undefined
        ? undefined
        : {
            directory: made.directory,
            socketPath: made.socketPath,
            made: { dev: BigInt(made.dev), ino: BigInt(made.ino) }
          }
  }
}

export interface AdoptDeps {
  readonly machine: string
  readonly grants: Grants
  readonly uidOf: (name: string) => Promise<number | undefined>
  readonly handover?: ProcessHandover | undefined
  readonly log: Logger
}

/**
 * Admits what the process before has left, with the facts and the entries of now. A registration that they do not grant is logged,
 * and its program gets the reason when it registers again. Never rejects.
 */
export async function adoptAll(
  { machine, grants: all, uidOf, handover, log }: AdoptDeps,
  admit: (resumed: Resumed, claim: Claim) => unknown
): Promise<void> {
  for (const one of inherited(handover?.take(REGISTRATIONS))) {
    const resumed = resumedFrom(one)
    const { input, caller } = resumed
    const { process } = caller
    try {
      const address = parseLocalName(input.address, machine)
      const { target } = input
      const facts = [await all.forClaim(input).attest(caller, address)]
      const named = target !== undefined && 'serverUser' in target ? target.serverUser : undefined
      admit(resumed, { address, process, facts, serverUser: await serverUserOf(named ?? '', uidOf) })
    } catch (err) {
      process.close()
      log.warn('registration not kept', { source: one.document.spiffeId, pid: one.pid, err })
    }
  }
}
