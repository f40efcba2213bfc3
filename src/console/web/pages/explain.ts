import type { ExplainView } from '../../shapes.ts'
import { loadExplanation, shown, verdictText } from '../load.ts'
import { h, type View } from '../preact.ts'
import { linkTo } from '../route.ts'
import type { State } from '../state.ts'
import { choice, field, form, hostLink, PROTOCOLS } from './parts.ts'

/** Addresses that a field offers. */
const MAX_OFFERED = 500

export function explainPage({ route, explanation, isExplaining, mesh }: State): View[] {
  const value = (name: string): string => route.query.get(name) ?? ''
  const addresses = (mesh?.workloads ?? []).slice(0, MAX_OFFERED).map(({ address }) => address)
  return [
    h(
      'p',
      {},
      'Would a connection work now? The agents on its way are asked, as by ',
      h('code', {}, 'warren explain'),
      '.'
    ),
    form(
      'Explain a connection',
      ({ source = '', destination = '', protocol = '' }) => {
        history.replaceState(null, '', linkTo('explain', '', { source, destination, protocol }))
        void shown('explain', () => loadExplanation(source, destination, protocol))
      },
      [
        h(
          'datalist',
          { id: 'addresses' },
          addresses.map(address => h('option', { value: address }))
        ),
        field('Source', 'source', value('source'), {
          required: true,
          list: 'addresses',
          placeholder: 'dev.shop.cart.default'
        }),
        field('Destination', 'destination', value('destination'), {
          required: true,
          list: 'addresses',
          placeholder: 'dev.web.site.default'
        }),
        choice('Protocol', 'protocol', value('protocol'), PROTOCOLS),
        h('button', { type: 'submit' }, 'Explain')
      ]
    ),
    explanation === undefined
      ? h('p', { class: 'none' }, isExplaining ? 'The hosts of both ends are asked …' : '')
      : h(
          'section',
          { 'aria-label': 'Explanation' },
          h('p', { class: CLASSES[explanation.verdict] }, verdictText(explanation)),
          explanation.problem === ''
            ? null
            : h('p', { class: 'none' }, `Only this host was asked: ${explanation.problem}.`),
          explanation.ends.map(end),
          explanation.missing.map(({ machine, why }) => h('p', { class: 'none' }, `${machine} ${why}.`))
        )
  ]
}

const CLASSES: Readonly<Record<ExplainView['verdict'], string>> = {
  works: 'verdict works',
  fails: 'verdict fails',
  undecided: 'verdict'
}

const ROLES: Readonly<Record<string, string>> = {
  source: ', host of the source',
  destination: ', host of the destination',
  neither: ', host of neither end'
}

function end({ machine, role, steps }: ExplainView['ends'][number]): View[] {
  return [
    h('h2', {}, hostLink(machine), ROLES[role] ?? ''),
    h(
      'ol',
      { class: 'steps' },
      steps.map(({ subject, ok, unknown, text, next }) =>
        h(
          'li',
          { class: ok ? 'ok' : 'no' },
          h('strong', {}, `${ok ? 'ok' : unknown ? '?' : 'NO'} · ${subject}: `),
          text,
          next === '' ? '' : ` → ${next}`
        )
      )
    )
  ]
}
