import { h, type View } from '../preact.ts'
import { linkTo } from '../route.ts'
import type { State } from '../state.ts'
import { certificatesPage } from './certificates.ts'
import { draftPage } from './draft.ts'
import { eventsPage } from './events.ts'
import { explainPage } from './explain.ts'
import { hostPage } from './host.ts'
import { mapPage } from './map.ts'
import { policyPage } from './policy.ts'
import { refusedPage } from './refused.ts'
import { workloadPage } from './workload.ts'

interface Page {
  readonly title: string
  /** Whether it stands in the navigation. */
  readonly isListed: boolean
  readonly content: (state: State, nowMs: number) => ReadonlyArray<View | null>
}

const PAGES: Readonly<Record<string, Page>> = {
  map: { title: 'Map', isListed: true, content: mapPage },
  policy: { title: 'Policy', isListed: true, content: policyPage },
  refused: { title: 'Refused', isListed: true, content: refusedPage },
  explain: { title: 'Explain', isListed: true, content: explainPage },
  events: { title: 'Events', isListed: true, content: eventsPage },
  certificates: { title: 'Certificates', isListed: true, content: certificatesPage },
  host: { title: 'Host', isListed: false, content: hostPage },
  workload: { title: 'Workload', isListed: false, content: workloadPage },
  draft: { title: 'Draft of a rule', isListed: false, content: draftPage }
}

const NOT_FOUND: Page = {
  title: 'There is no such page',
  isListed: false,
  content: () => [h('p', {}, h('a', { href: linkTo('map') }, 'Go to the map'))]
}

/** The heading of the page that is shown. */
export function titleOf({ route, session }: State): string {
  if (session !== 'open') return 'Console'
  const page = pageOf(route.page)
  return route.subject === '' ? page.title : `${page.title} ${route.subject}`
}

/** The whole document. */
export function frame(state: State, onEnd: () => void, nowMs: number): View {
  const { session, route, mesh, failures, done, notice } = state
  if (session !== 'open')
    return h('main', { id: 'main' }, h('h1', { tabIndex: -1 }, 'warren console'), ...closed(state))
  const links = Object.entries(PAGES)
    .filter(([, page]) => page.isListed)
    .map(([name, page]) =>
      h('li', {}, h('a', { href: linkTo(name), 'aria-current': name === route.page ? 'page' : undefined }, page.title))
    )
  const self = mesh?.self
  return h(
    'div',
    { class: 'frame' },
    h('a', { class: 'skip', href: '#main', onClick: skip }, 'Skip to the content'),
    h(
      'header',
      {},
      h('span', { class: 'brand' }, 'warren'),
      h('nav', { 'aria-label': 'Pages' }, h('ul', {}, links)),
      h(
        'span',
        { class: 'self' },
        self === undefined
          ? ''
          : `${self.machine} · ${self.trustDomain} · ${self.allowsChanges ? 'changes allowed' : 'read-only'}`
      ),
      h('button', { type: 'button', onClick: onEnd }, 'End session')
    ),
    h('div', { role: 'status', class: 'notice' }, notice),
    h(
      'main',
      { id: 'main' },
      h('h1', { tabIndex: -1 }, titleOf(state)),
      ...[...new Set(Object.values(failures))].map(text => h('p', { role: 'alert', class: 'failure' }, text)),
      h('div', { role: 'status' }, done === '' ? null : h('p', { class: 'verdict works' }, done)),
      ...(mesh?.problems ?? []).map(text => h('p', { class: 'none' }, text)),
      h('div', { key: `${route.page}/${route.subject}`, class: 'content' }, pageOf(route.page).content(state, nowMs))
    )
  )
}

// The address behind "#" names the page.
function skip(event: Event): void {
  event.preventDefault()
  document.querySelector<HTMLElement>('h1')?.focus()
}

function pageOf(name: string): Page {
  return Object.hasOwn(PAGES, name) ? (PAGES[name] ?? NOT_FOUND) : NOT_FOUND
}

function closed({ session, closedReason }: State): View[] {
  if (session === 'opening') return [h('p', { role: 'status' }, 'Opening …')]
  return [
    h('p', { role: 'alert' }, closedReason),
    h(
      'p',
      {},
      'Press Enter in the terminal where ',
      h('code', {}, 'warren console'),
      ' runs, and open the link that it prints.'
    )
  ]
}
