import { loadExplanation, shown, verdictText } from '../load.ts'
import { h, type View } from '../preact.ts'
import { linkTo } from '../route.ts'
import { type State, update } from '../state.ts'
import { choice, field, form, PROTOCOLS } from './parts.ts'

/** Addresses that a field offers. */
const MAX_OFFERED = 500

export function explainPage({ route, explanation, mesh }: State): View[] {
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
        update({ explanation: undefined })
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
      ? h('p', { class: 'none' }, '')
      : h(
          'section',
          { 'aria-label': 'Explanation' },
          h('p', { class: explanation.works ? 'verdict works' : 'verdict fails' }, verdictText(explanation)),
          h(
            'ol',
            { class: 'steps' },
            explanation.steps.map(({ subject, ok, unknown, text, next }) =>
              h(
                'li',
                { class: ok ? 'ok' : 'no' },
                h('strong', {}, `${ok ? 'ok' : unknown ? '?' : 'NO'} · ${subject}: `),
                text,
                next === '' ? '' : ` → ${next}`
              )
            )
          )
        )
  ]
}
