import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Program, type Scope } from '../../test/harness/index.ts'
import { makeCertificates } from '../certificates.ts'
import type { Contender } from '../contender.ts'
import { answers, freePort } from '../free-port.ts'
import type { Programs } from './programs.ts'

const MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so'

/** The stream module of nginx: one process at each end. */
export const nginx = (programs: Programs): Contender => ({
  name: `nginx${programs.label}`,
  missing: () => programs.missing('nginx'),
  start: async (scope: Scope, target: string) => {
    const directory = scope.directory()
    const { ca, server, client } = makeCertificates(directory)
    const port = await freePort()
    const path = join(directory, 'in')
    const begin = (name: string, lines: readonly string[]): Program => {
      const prefix = scope.directory()
      const file = join(prefix, `${name}.conf`)
      const main = [
        `load_module ${programs.file(MODULE)};`,
        'daemon off;',
        'user root;',
        // One process at each end, as the others have: it does the work of a worker, and ends when it is killed.
        'master_process off;',
        'error_log stderr crit;',
        `pid ${join(prefix, 'pid')};`,
        'events { worker_connections 8192; }'
      ]
      const timeouts = ['proxy_connect_timeout 60s;', 'proxy_timeout 300s;', 'tcp_nodelay on;']
      writeFileSync(file, [...main, 'stream {', ...timeouts, 'server {', ...lines, '}', '}', ''].join('\n'))
      return new Program(scope, [...programs.argv('nginx'), '-p', prefix, '-e', 'stderr', '-c', file])
    }
    const far = begin('server', [
      `listen 127.0.0.1:${port} ssl backlog=4096;`,
      'ssl_protocols TLSv1.3;',
      `ssl_certificate ${server};`,
      `ssl_certificate_key ${server};`,
      `ssl_client_certificate ${ca};`,
      'ssl_verify_client on;',
      `proxy_pass unix:${target};`
    ])
    const near = begin('client', [
      `listen unix:${path} backlog=4096;`,
      `proxy_pass 127.0.0.1:${port};`,
      'proxy_ssl on;',
      'proxy_ssl_protocols TLSv1.3;',
      `proxy_ssl_certificate ${client};`,
      `proxy_ssl_certificate_key ${client};`,
      `proxy_ssl_trusted_certificate ${ca};`,
      'proxy_ssl_verify on;',
      'proxy_ssl_name localhost;',
      // No session is resumed, as in the others: each connection shows its certificate.
      'proxy_ssl_session_reuse off;'
    ])
    await answers({ port })
    await answers({ path })
    return { path, pids: [far, near].map(({ pid }) => pid) }
  }
})
