import type { policyPb } from '../wire/index.ts'
import type { Entry } from './entry.ts'
import { SELECTORS } from './selectors.ts'

const NAMES = [
  'containerRuntime',
  'containerName',
  'containerImage',
  'containerPod',
  'containerUser',
  'selinux',
  'apparmor'
] as const
type Name = (typeof NAMES)[number]

/** The selectors of containers and labels of an entry: those that are named. */
export type ContainerSelectors = Partial<Pick<Entry, Name>>
export type ContainerFields = Pick<policyPb.Entry, Name>

/** From the fields of a message, where an empty text names nothing. */
export function containerSelectors(fields: ContainerFields): ContainerSelectors {
  return Object.fromEntries(NAMES.flatMap(name => (fields[name] === '' ? [] : [[name, fields[name]]])))
}

export function containerFields(entry: ContainerSelectors): ContainerFields {
  const field = (name: Name): string => entry[name] ?? ''
  return {
    containerRuntime: field('containerRuntime'),
    containerName: field('containerName'),
    containerImage: field('containerImage'),
    containerPod: field('containerPod'),
    containerUser: field('containerUser'),
    selinux: field('selinux'),
    apparmor: field('apparmor')
  }
}

const MAX_NAME_LENGTH = 256
/** Longest label of SELinux, with its categories. */
const MAX_LABEL_LENGTH = 1_024

/** What is wrong with these selectors, as the end of a sentence; undefined for valid ones. */
export function containerFault(entry: Omit<Entry, 'id' | 'createdAtMs'>): string | undefined {
  const { containerImage, selinux, apparmor } = entry
  if (containerImage !== undefined && !/^sha256:[0-9a-f]{64}$/.test(containerImage))
    return 'has an image that is no digest, "sha256:" and 64 hex digits'
  for (const name of ['containerRuntime', 'containerName', 'containerPod', 'containerUser'] as const) {
    const text = entry[name]
    if (text !== undefined && (text.length > MAX_NAME_LENGTH || !/^[^\s\p{Cc}/]+$/u.test(text)))
      return 'has a container, runtime, pod or user of a container that is no name'
  }
  if (
    [selinux, apparmor].some(label => label !== undefined && (label.length > MAX_LABEL_LENGTH || /\p{Cc}/u.test(label)))
  )
    return 'has a label that is none'
  if (selinux !== undefined && !/^[^\s:]+(:[^\s:]+){2}(:\S+)?$/.test(selinux))
    return 'has a SELinux label that is none, as in system_u:system_r:container_t'
  // A process that no profile confines may take any of them, and most policies of SELinux let such a process choose.
  const others = SELECTORS.filter(name => name !== 'selinux' && name !== 'apparmor')
  if (others.every(name => entry[name] === undefined)) return 'names a label alone, which unconfined processes can take'
  return undefined
}
