import { applyDraft, makeDraft, shown } from '../load.ts'
import { h, type View } from '../preact.ts'
import { type State, update } from '../state.ts'
import { choice, field, form, PROTOCOLS } from './parts.ts'

/** A rule that is only written: its dry run first, and only then a button that puts it in force. */
export function draftPage({ route, draft, mesh }: State): View[] {
  const value = (name: string): string => route.query.get(name) ?? ''
  return [
    h(
      'p',
      {},
      'A part of a pattern can be ',
      h('code', {}, '*'),
      ' or ',
      h('code', {}, '{a,b}'),
      '. The dry run changes nothing.'
    ),
    form(
      'Draft of a rule',
      fields => {
        update({ draft: undefined, done: '' })
        void shown('draft', () => makeDraft(fields))
      },
      [
        field('Source', 'source', value('source'), { required: true }),
        field('Destination', 'destination', value('destination'), { required: true }),
        choice('Protocol', 'protocol', value('protocol'), PROTOCOLS),
        field('Reason', 'reason', ''),
        h('button', { type: 'submit' }, 'Dry run')
      ]
    ),
    draft === undefined
      ? h('p', { class: 'none' }, '')
      : h(
          'section',
          { 'aria-label': 'Dry run' },
          h('h2', {}, 'What it would do'),
          draft.cuts.length === 0
            ? h('p', {}, 'It would cut no flow of this host. Other hosts were not asked.')
            : h(
                'ul',
                {},
                draft.cuts.map(cut => h('li', {}, cut))
              ),
          h('h2', {}, 'The command'),
          h('pre', {}, h('code', {}, draft.command)),
          h('p', {}, next(mesh?.self)),
          mesh?.self.allowsChanges === true && mesh.self.admin
            ? h(
                'button',
                { type: 'button', class: 'change', onClick: () => void shown('draft', () => applyDraft(draft.id)) },
                'Put this rule in force'
              )
            : null
        )
  ]
}

function next(self: { readonly allowsChanges: boolean; readonly admin: boolean } | undefined): string {
  if (self?.admin !== true) return 'This host does not sign the policy: type the command on the one that does.'
  if (!self.allowsChanges)
    return 'This console only shows. Type the command, or start the console with --allow-changes.'
  return 'The button does the same as the command.'
}
