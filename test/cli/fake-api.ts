import type { TestContext } from 'node:test'
import {
  type AdminHandlers,
  ensureRuntimeDir,
  serveAdminApi,
  serveWorkloadApi,
  type WorkloadHandlers
} from '../../src/api/index.ts'
import { silentLogger } from '../../src/core/index.ts'
import { adminHandlers, fakeCredentials, workloadHandlers } from '../api/support.ts'
import { type Outcome, scopeOf, warren } from '../harness/index.ts'

/** The two sockets of an agent that answers what a test says. */
export async function fakeApi(
  t: TestContext,
  handlers: { workload?: Partial<WorkloadHandlers>; admin?: Partial<AdminHandlers> }
): Promise<{ runtimeDir: string; run: (...args: string[]) => Promise<Outcome> }> {
  const scope = scopeOf(t)
  const runtimeDir = scope.directory()
  await ensureRuntimeDir(runtimeDir)
  const uid = process.getuid?.() ?? 0
  const common = { runtimeDir, credentials: fakeCredentials(uid).read, log: silentLogger }
  const workload = await serveWorkloadApi({ ...common, handlers: workloadHandlers(handlers.workload) })
  scope.defer(() => workload.close())
  const admin = await serveAdminApi({ ...common, handlers: adminHandlers(handlers.admin) })
  scope.defer(() => admin.close())
  const run = async (...args: string[]): Promise<Outcome> => {
    const program = warren(scope, args, {}, runtimeDir)
    program.stdin.end()
    return await program.outcome()
  }
  return { runtimeDir, run }
}
