import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Certificates {
  readonly ca: string
  /** Certificate and key in one file. */
  readonly server: string
  readonly client: string
}

/** A P-256 root, and a certificate for each end, as files in `directory`: the same kind of keys that warren uses. */
export function makeCertificates(directory: string): Certificates {
  const path = (name: string): string => join(directory, name)
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] })
  }
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '1', '-subj', '/CN=bench root')
  const issue = (name: string): string => {
    openssl('req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', '/CN=localhost')
    const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '1']
    openssl('x509', '-req', '-in', `${name}.csr`, ...signing, '-out', `${name}.crt`)
    writeFileSync(
      path(`${name}.pem`),
      readFileSync(path(`${name}.crt`), 'utf8') + readFileSync(path(`${name}.key`), 'utf8')
    )
    return path(`${name}.pem`)
  }
  return { ca: path('ca.pem'), server: issue('server'), client: issue('client') }
}
