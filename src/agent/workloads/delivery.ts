import { createListenDirectory } from './listen-directory.ts'
import type { Caller, RegisterInput } from './register-input.ts'
import { portTarget, unixTarget } from './target.ts'
import type { Target } from './workload.ts'

/** Where connections go, and the directory that was made for it. */
export interface Delivery {
  readonly target: Target | undefined
  readonly directory: string | undefined
}

/** Prepares what a registration asks for. Throws INVALID_ARGUMENT, or CANNOT_CONNECT for the listening directory. */
export function deliveryOf({ target }: RegisterInput, caller: Caller, listenDir: string): Delivery {
  switch (target?.kind) {
    case undefined:
      return { target: undefined, directory: undefined }
    case 'tcp':
    case 'udp':
      return { target: portTarget(target.kind, target.address), directory: undefined }
    case 'unix':
      return { target: unixTarget(target.path, caller.uid), directory: undefined }
    case 'listen': {
      const { hello, protocol } = target
      const { directory, socketPath } = createListenDirectory(listenDir, caller.uid, caller.gid)
      return { target: { kind: 'unix', path: socketPath, uid: caller.uid, hello, protocol }, directory }
    }
  }
}
