import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Program, type Scope } from '../../test/harness/index.ts'
import { makeCertificates } from '../certificates.ts'
import type { Contender } from '../contender.ts'
import { answers, freePort } from '../free-port.ts'
import type { Programs } from './programs.ts'

/** Threads in one process, at each end. */
export const stunnel = (programs: Programs): Contender => ({
  name: `stunnel${programs.label}`,
  missing: () => programs.missing('stunnel'),
  start: async (scope: Scope, target: string) => {
    const directory = scope.directory()
    const { ca, server, client } = makeCertificates(directory)
    const port = await freePort()
    const path = join(directory, 'in')
    const config = (name: string, certificate: string, lines: readonly string[]): string => {
      const file = join(directory, `${name}.conf`)
      const common = ['foreground = yes', 'debug = 3', 'pid =', '[bench]', `cert = ${certificate}`, `CAfile = ${ca}`]
      writeFileSync(file, [...common, 'verifyChain = yes', 'sslVersion = TLSv1.3', ...lines, ''].join('\n'))
      return file
    }
    const far = config('server', server, [`accept = 127.0.0.1:${port}`, `connect = ${target}`])
    const near = config('client', client, ['client = yes', `accept = ${path}`, `connect = 127.0.0.1:${port}`])
    const ends = [far, near].map(file => new Program(scope, [...programs.argv('stunnel'), file]))
    await answers({ port })
    await answers({ path })
    return { path, pids: ends.map(({ pid }) => pid) }
  }
})
