import type { policyPb } from '../wire/index.ts'
import type { Entry } from './entry.ts'
import { SELECTORS } from './selectors.ts'

const NAMES = [
  'containerRuntime',
  'containerName',
  'containerImage',
  'containerPod',
  'containerUser',
  'containerServiceAccount',
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
    containerServiceAccount: field('containerServiceAccount'),
    selinux: field('selinux'),
    apparmor: field('apparmor')
  }
}

const MAX_NAME_LENGTH = 256
const NAME = /^[^\s\p{Cc}/]+$/u
/** In Kubernetes, NAMESPACE/NAME. */
const NAME_OR_KUBERNETES = /^[^\s\p{Cc}/]+(?:\/[^\s\p{Cc}/]+)?$/u
const SERVICE_ACCOUNT = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\/[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/
/** Longest label of SELinux, with its categories. */
const MAX_LABEL_LENGTH = 1_024

/** What is wrong with these selectors, as the end of a sentence; undefined for valid ones. */
export function containerFault(entry: Omit<Entry, 'id' | 'createdAtMs'>): string | undefined {
  const { containerImage, selinux, apparmor } = entry
  if (containerImage !== undefined && !/^sha256:[0-9a-f]{64}$/.test(containerImage))
    return 'has an image that is no digest, "sha256:" and 64 hex digits'
  for (const name of ['containerRuntime', 'containerName', 'containerPod', 'containerUser'] as const) {
    const text = entry[name]
    const form = name === 'containerName' || name === 'containerPod' ? NAME_OR_KUBERNETES : NAME
    if (text !== undefined && (text.length > MAX_NAME_LENGTH || !form.test(text)))
      return 'has a container, runtime, pod or user of a container that is no name'
  }
  const { containerServiceAccount: account } = entry
  if (account !== undefined && (account.length > MAX_NAME_LENGTH || !SERVICE_ACCOUNT.test(account)))
    return 'has a service account that is not NAMESPACE/NAME'
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
