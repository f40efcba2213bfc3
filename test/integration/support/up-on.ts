import { type Outcome, type Program, type Scope, warren } from '../../harness/index.ts'

const PORTS = ['--listen', '127.0.0.1:0', '--data-listen', '127.0.0.1:0', '--advertise', '127.0.0.1', '--no-mdns']

/** `warren up` on a state directory, with a runtime directory of its own; how it ends, or that it is ready and was stopped then. */
export async function upOn(scope: Scope, stateDir: string, ...more: string[]): Promise<Outcome | 'ready'> {
  const program = start(scope, stateDir, ...more)
  const ready = program.says(/"agent ready"/, 'stderr').then(
    () => 'ready' as const,
    () => undefined
  )
  if ((await ready) === undefined) return await program.outcome()
  const { code, stderr } = await program.stop()
  if (code !== 0) throw new Error(`it did not end well\n${stderr}`)
  return 'ready'
}

function start(scope: Scope, stateDir: string, ...more: string[]): Program {
  const dirs = ['--state-dir', stateDir, '--runtime-dir', scope.directory()]
  return warren(scope, ['up', '--drain-timeout', '0s', '--log-level', 'info', ...PORTS, ...dirs, ...more])
}
