import type { RefusalView } from '../../shapes.ts'
import { distanceText, machineOf, nameOf } from '../format.ts'
import { h, type View } from '../preact.ts'
import { linkTo } from '../route.ts'
import type { State } from '../state.ts'
import { askedNote, leftOutNote, table, workloadLink } from './parts.ts'

export function refusedPage({ refusals }: State, nowMs: number): Array<View | null> {
  return [
    h(
      'p',
      {},
      'Attempts that were refused, as the hosts of both ends note them. “Allow this” shows the command, and what it would do; it changes nothing.'
    ),
    askedNote(refusals?.asked, nowMs),
    refusalTable('Refused attempts of the last hour', refusals?.refusals ?? [], nowMs),
    leftOutNote(refusals?.leftOut ?? 0, 'older attempt')
  ]
}

export function refusalTable(caption: string, refusals: readonly RefusalView[], nowMs: number): View {
  return table<RefusalView>(
    caption,
    [
      { title: 'Source', value: one => workloadLink(one.source) },
      { title: 'Destination', value: one => workloadLink(one.destination) },
      { title: 'Protocol', value: one => one.protocol },
      { title: 'Times', value: one => String(one.count), isNumber: true },
      { title: 'Last', value: one => distanceText(one.lastAtMs, nowMs) },
      { title: 'Hosts', value: one => one.hosts.join(', ') },
      { title: 'Code', value: one => one.code },
      { title: 'Why', value: one => one.reason },
      { title: 'Next', value: one => nextOf(one) }
    ],
    refusals,
    'No attempt was refused in the last hour.'
  )
}

function nextOf({ source, destination, protocol, code, hosts }: RefusalView): View {
  const [from, to] = [nameOf(source), nameOf(destination)]
  const query = { source: from, destination: to, protocol }
  // A third host could invent an attempt between two others.
  const isByEnd = hosts.some(host => [source, destination].some(address => machineOf(address) === host))
  const isByPolicy = code === 'UNAUTHORIZED' && to !== '' && isByEnd
  const label = isByPolicy ? 'Allow this' : 'Explain'
  return h(
    'a',
    { href: linkTo(isByPolicy ? 'draft' : 'explain', '', query), 'aria-label': `${label}: ${from} to ${to}` },
    label
  )
}
