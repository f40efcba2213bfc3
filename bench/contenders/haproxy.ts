import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Program, type Scope } from '../../test/harness/index.ts'
import { makeCertificates } from '../certificates.ts'
import type { Contender } from '../contender.ts'
import { answers, freePort } from '../free-port.ts'
import type { Programs } from './programs.ts'

/** One process at each end. */
export const haproxy = (programs: Programs): Contender => ({
  name: `haproxy${programs.label}`,
  missing: () => programs.missing('haproxy'),
  start: async (scope: Scope, target: string) => {
    const directory = scope.directory()
    const { ca, server, client } = makeCertificates(directory)
    const port = await freePort()
    const path = join(directory, 'in')
    const config = (name: string, bind: string, upstream: string): string => {
      const file = join(directory, `${name}.cfg`)
      const timeouts = ['connect', 'client', 'server'].map(which => `  timeout ${which} 60s`)
      const defaults = ['global', '  maxconn 4096', 'defaults', '  mode tcp', ...timeouts]
      writeFileSync(file, [...defaults, 'listen bench', `  bind ${bind}`, `  server target ${upstream}`, ''].join('\n'))
      return file
    }
    const tls = (certificate: string): string => `ssl crt ${certificate} ca-file ${ca} verify required`
    const far = config('server', `127.0.0.1:${port} ${tls(server)} ssl-min-ver TLSv1.3`, `unix@${target}`)
    // No session is resumed, as in the others: each connection shows its certificate.
    const near = config('client', `unix@${path}`, `127.0.0.1:${port} ${tls(client)} no-ssl-reuse`)
    const ends = [far, near].map(file => new Program(scope, [...programs.argv('haproxy'), '-db', '-q', '-f', file]))
    await answers({ port })
    await answers({ path })
    return { path, pids: ends.map(({ pid }) => pid) }
  }
})
