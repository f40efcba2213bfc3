import { join } from 'node:path'
import { isInstalled, Program, type Scope } from '../../test/harness/index.ts'
import { makeCertificates } from '../certificates.ts'
import type { Contender } from '../contender.ts'
import { answers, freePort } from '../free-port.ts'

/** A process for each connection, at each end. */
export const socat: Contender = {
  name: 'socat',
  missing: () => (isInstalled('socat') ? undefined : 'socat is not installed'),
  start: async (scope: Scope, target: string) => {
    const directory = scope.directory()
    const { ca, server, client } = makeCertificates(directory)
    const port = await freePort()
    const path = join(directory, 'in')
    const tls = (certificate: string): string => `cert=${certificate},cafile=${ca},verify=1`
    const accept = `OPENSSL-LISTEN:${port},bind=127.0.0.1,fork,reuseaddr,backlog=512,${tls(server)}`
    new Program(scope, ['socat', '-b', '65536', accept, `UNIX-CONNECT:${target}`])
    const dial = `OPENSSL:127.0.0.1:${port},commonname=localhost,${tls(client)}`
    new Program(scope, ['socat', '-b', '65536', `UNIX-LISTEN:${path},fork,backlog=512`, dial])
    await answers({ port })
    await answers({ path })
    return { path, pids: [] }
  }
}
