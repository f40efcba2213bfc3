import { isInstalled, Program, type Scope } from '../../test/harness/index.ts'
import { makeCertificates } from '../certificates.ts'
import type { Contender } from '../contender.ts'
import { freePort } from '../free-port.ts'

/** Datagrams over DTLS 1.2, for one client. The target and the path are HOST:PORT. */
export const socatDtls: Contender = {
  name: 'socat over DTLS',
  missing: () => (isInstalled('socat') ? undefined : 'socat is not installed'),
  start: async (scope: Scope, target: string) => {
    const { ca, server, client } = makeCertificates(scope.directory())
    const [port, entry] = [await freePort(), await freePort()]
    const tls = (certificate: string): string => `cert=${certificate},cafile=${ca},verify=1`
    const accept = `OPENSSL-DTLS-SERVER:${port},bind=127.0.0.1,reuseaddr,${tls(server)}`
    const far = new Program(scope, ['socat', '-d', '-d', accept, `UDP4:${target}`])
    await far.says(/listening on/, 'stderr')
    const dial = `OPENSSL-DTLS-CLIENT:127.0.0.1:${port},commonname=localhost,${tls(client)}`
    const near = new Program(scope, ['socat', '-d', '-d', `UDP4-LISTEN:${entry},bind=127.0.0.1,reuseaddr`, dial])
    await near.says(/listening on/, 'stderr')
    return { path: `127.0.0.1:${entry}`, pids: [] }
  }
}
