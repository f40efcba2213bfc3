import type { CertificateView } from '../../shapes.ts'
import { distanceText, timeText } from '../format.ts'
import { h, type View } from '../preact.ts'
import type { State } from '../state.ts'
import { table } from './parts.ts'

export function certificatesPage({ certificates }: State, nowMs: number): View[] {
  return [
    ...(certificates?.problems ?? []).map(text => h('p', { class: 'none' }, text)),
    table<CertificateView>(
      'Certificates, the one that ends first is first',
      [
        { title: 'Subject', value: one => one.subject },
        { title: 'Kind', value: one => one.kind },
        { title: 'Ends', value: one => `${timeText(one.notAfterMs)} (${distanceText(one.notAfterMs, nowMs)})` },
        { title: 'Used', value: one => age(one, nowMs) },
        { title: 'Renewed', value: one => distanceText(one.renewAtMs, nowMs) },
        { title: 'Problem', value: one => one.problem || one.alarm }
      ],
      certificates?.certificates ?? [],
      'No certificate is known.'
    )
  ]
}

/** The part of its life that has passed. */
function age({ issuedAtMs, notAfterMs, subject }: CertificateView, nowMs: number): View | string {
  if (issuedAtMs <= 0 || notAfterMs <= issuedAtMs) return '–'
  const part = Math.min(1, Math.max(0, (nowMs - issuedAtMs) / (notAfterMs - issuedAtMs)))
  const percent = Math.round(part * 100)
  const label = `${subject}: ${percent} % used`
  return h('span', {}, h('meter', { min: 0, max: 100, high: 90, value: percent, 'aria-label': label }), ` ${percent} %`)
}
