import type { AgentClient } from '../../client/index.ts'
import type { CertificatesView, CertificateView } from '../shapes.ts'
import { attempt } from './attempt.ts'

const UNKNOWN = { issuedAtMs: 0, renewAtMs: 0, alarm: '' } as const

/** The certificates of this host, of the other hosts, and of those that sign; the one that ends first is first. */
export async function certificatesView(agent: AgentClient, signal: AbortSignal): Promise<CertificatesView> {
  const problems: string[] = []
  const [status, members, authorities] = await Promise.all([
    agent.workload.getStatus({}, { signal }),
    attempt('the certificates of other hosts', problems, () => agent.admin.listMembers({}, { signal })),
    attempt('the authorities', problems, () => agent.admin.listAuthorities({}, { signal }))
  ])
  const own: CertificateView[] = status.certificates.map(one => ({
    kind: one.kind,
    subject: one.subject,
    issuedAtMs: Number(one.issuedAtMs),
    notAfterMs: Number(one.notAfterMs),
    renewAtMs: Number(one.renewAtMs),
    alarm: one.alarm,
    problem: one.problem
  }))
  const hosts = (members?.members ?? [])
    .filter(({ state }) => state !== 'self')
    .map(({ machine, certificateNotAfterMs }) => ({
      ...UNKNOWN,
      kind: 'node',
      subject: machine,
      notAfterMs: Number(certificateNotAfterMs),
      problem: ''
    }))
  const others = (authorities?.authorities ?? [])
    .filter(({ state }) => state !== 'self')
    .map(({ machine, notAfterMs, problem }) => ({
      ...UNKNOWN,
      kind: 'authority',
      subject: machine,
      notAfterMs: Number(notAfterMs),
      problem
    }))
  const all = [...own, ...hosts, ...others].sort((a, b) => a.notAfterMs - b.notAfterMs)
  return { certificates: all, problems }
}
