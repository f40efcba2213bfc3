import { executableOf } from '../../attest/index.ts'
import type { ProcessFields } from '../../events/index.ts'
import type { Workload } from '../../workloads/index.ts'

const known = new WeakMap<Workload, ProcessFields>()

/** What events say of the process of a registration of this host. Its executable is looked up once. */
export function processFieldsOf(workload: Workload): ProcessFields {
  const found = known.get(workload)
  if (found !== undefined) return found
  const { uid, process, facts } = workload
  const { pid } = process
  // An item of a file has no process: the agent stands for it.
  const isDeclared = facts.some(one => one.isDeclared === true)
  const executable = isDeclared ? undefined : (facts.at(-1)?.exePath ?? executableOf(pid))
  const fields = Object.freeze(executable === undefined ? { uid, pid } : { uid, pid, executable })
  known.set(workload, fields)
  return fields
}
