import type { ProcessFacts } from '../attest/index.ts'
import { shellWord } from '../core/index.ts'
import type { Entry } from './entry.ts'

/** Selectors of what is read from the files of a container runtime. */
const CONTAINER_SELECTORS = [
  'containerRuntime',
  'containerName',
  'containerImage',
  'containerPod',
  'containerServiceAccount',
  'containerUser'
] as const
const LABEL_SELECTORS = ['selinux', 'apparmor'] as const
/** Selectors of facts that are read only when an entry asks for them. */
export const READ_LATE = [...CONTAINER_SELECTORS, 'exePath', 'exeSha256'] as const

/** Whether an entry is for processes of a container. */
export function namesContainer(entry: Partial<Entry>): boolean {
  return CONTAINER_SELECTORS.some(selector => entry[selector] !== undefined)
}

/** Whether it has a selector that older agents do not know. */
export function isOfLaterForm(entry: Partial<Entry>): boolean {
  return namesContainer(entry) || LABEL_SELECTORS.some(selector => entry[selector] !== undefined)
}

/** Names of the selectors, in the order in which they are shown. */
export const SELECTORS = [
  'uid',
  'user',
  'gid',
  'group',
  'exePath',
  'exeSha256',
  'systemdUnit',
  'cgroup',
  ...CONTAINER_SELECTORS,
  ...LABEL_SELECTORS
] as const
export type Selector = (typeof SELECTORS)[number]

/**
 * The selectors of an entry that a process with these facts does not match. An entry that names a container means one of root,
 * unless it says whose; ids that a user namespace gives mean nothing alone.
 */
export function unmet(entry: Entry, facts: ProcessFacts): Selector[] {
  const ofContainer = namesContainer(entry) || facts.hasOwnUserIds === true
  return SELECTORS.filter(selector => {
    const isNamed = entry[selector] !== undefined || (selector === 'containerUser' && ofContainer)
    return isNamed && !isMet(entry, facts, selector)
  })
}

function isMet(entry: Entry, facts: ProcessFacts, selector: Selector): boolean {
  switch (selector) {
    case 'user':
      return entry.user !== undefined && facts.users.includes(entry.user)
    case 'gid':
      return entry.gid !== undefined && facts.gids.includes(entry.gid)
    case 'group':
      return entry.group !== undefined && facts.groups.includes(entry.group)
    case 'cgroup':
      return facts.cgroup === entry.cgroup || facts.cgroup?.startsWith(`${entry.cgroup}/`) === true
    case 'containerRuntime':
      return facts.container?.runtime === entry.containerRuntime
    case 'containerName':
      return includes(facts.container?.names, entry.containerName)
    case 'containerImage':
      return includes(facts.container?.images, entry.containerImage)
    case 'containerPod':
      return includes(facts.container?.pods, entry.containerPod)
    case 'containerServiceAccount':
      return facts.container?.serviceAccount === entry.containerServiceAccount
    case 'containerUser':
      return isOwner(entry, facts)
    case 'selinux':
      return facts.selinux === entry.selinux || facts.selinux?.startsWith(`${entry.selinux}:`) === true
    default:
      return facts[selector] === entry[selector]
  }
}

function isOwner(entry: Entry, { container }: ProcessFacts): boolean {
  if (container === undefined || !namesContainer(entry)) return false
  const { containerUser = '0' } = entry
  return /^\d+$/.test(containerUser)
    ? containerUser === String(container.ownerUid)
    : container.owners.includes(containerUser)
}

function includes(values: readonly string[] | undefined, value: string | undefined): boolean {
  return value !== undefined && values?.includes(value) === true
}

const NARROWING = [
  ['cgroup', '--cgroup'],
  ['systemdUnit', '--unit'],
  ['exePath', '--exe'],
  ['exeSha256', '--sha256'],
  ['containerRuntime', '--runtime'],
  ['containerName', '--container'],
  ['containerImage', '--image'],
  ['containerPod', '--pod'],
  ['containerServiceAccount', '--service-account'],
  ['containerUser', '--container-user'],
  ['selinux', '--selinux'],
  ['apparmor', '--apparmor']
] as const

/** Options of `warren entry add` for the selectors that an entry has besides those of users, with the values of this process. */
export function optionsLike(entry: Entry | undefined, facts: ProcessFacts): string {
  return NARROWING.flatMap(([selector, option]) => {
    const value = namedValue(facts, selector)
    const isNeeded = entry?.[selector] !== undefined || needed(facts).includes(selector)
    return value === undefined || !isNeeded ? [] : [` ${option} ${shellWord(value)}`]
  }).join('')
}

// Without a user an entry is for containers of root, and one without a container grants nothing to a user namespace.
function needed({ container, hasOwnUserIds }: ProcessFacts): readonly Selector[] {
  return [
    ...(hasOwnUserIds === true ? (['containerName'] as const) : []),
    ...(container !== undefined && container.ownerUid !== 0 ? (['containerUser'] as const) : [])
  ]
}

/** What a process is and what the entry asks for, in a clause for people. */
export function differenceIn(entry: Entry, facts: ProcessFacts, selector: Selector): string {
  return `its ${LABELS[selector]} is ${shown(facts, selector)}, and the entry asks for ${wanted(entry, selector)}`
}

const LABELS: { readonly [S in Selector]: string } = {
  uid: 'uid',
  user: 'user',
  gid: 'gid',
  group: 'group',
  exePath: 'executable',
  exeSha256: 'hash of the executable',
  systemdUnit: 'systemd unit',
  cgroup: 'cgroup',
  containerRuntime: 'container runtime',
  containerName: 'container',
  containerImage: 'image',
  containerPod: 'pod',
  containerServiceAccount: 'service account',
  containerUser: 'container runtime',
  selinux: 'SELinux label',
  apparmor: 'AppArmor profile'
}

function wanted(entry: Entry, selector: Selector): string {
  if (selector !== 'containerUser') return String(entry[selector])
  if (entry.containerUser !== undefined) return `that of ${entry.containerUser}`
  return namesContainer(entry)
    ? 'that of root'
    : 'none: an entry must name the container of a process with a user namespace of its own'
}

/** The first of its values, as an option of an entry has it. */
function namedValue(
  { container, ...facts }: ProcessFacts,
  selector: (typeof NARROWING)[number][0]
): string | undefined {
  switch (selector) {
    case 'containerRuntime':
      return container?.runtime
    case 'containerName':
      return container?.names[0]
    case 'containerImage':
      return container?.images[0]
    case 'containerPod':
      return container?.pods[0]
    case 'containerServiceAccount':
      return container?.serviceAccount
    case 'containerUser':
      return container?.owners[0] ?? container?.ownerUid.toString()
    default:
      return facts[selector]
  }
}

function shown(facts: ProcessFacts, selector: Selector): string {
  switch (selector) {
    case 'user':
      return facts.users.join(' or ') || 'without a name'
    case 'gid':
      return `one of ${facts.gids.join(', ')}`
    case 'group':
      return `one of ${facts.groups.join(', ')}`
    case 'containerImage':
      return facts.container?.images.join(' or ') || 'not established'
    case 'containerName':
    case 'containerPod':
    case 'containerServiceAccount':
    case 'containerRuntime':
    case 'selinux':
    case 'apparmor':
      return namedValue(facts, selector) ?? 'not established'
    case 'containerUser':
      return facts.container === undefined ? 'not known' : `that of ${namedValue(facts, selector)}`
    default:
      return String(facts[selector] ?? 'not established')
  }
}
