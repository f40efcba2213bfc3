/**
 * The fields of a request for the addresses that an entry grants, with the selectors that older agents do not know.
 *
 * With one of these, the pattern is where such an agent does not look: it must refuse the entry, and not take it without them.
 */
export function grantsFields(
  pattern: string,
  later: Readonly<Record<string, string>>
): { readonly grants: string; readonly narrowGrants: string; readonly kubernetesGrants: string } {
  const none = { grants: '', narrowGrants: '', kubernetesGrants: '' }
  if (isOfKubernetes(later)) return { ...none, kubernetesGrants: pattern }
  const isNarrow = Object.values(later).some(text => text !== '')
  return isNarrow ? { ...none, narrowGrants: pattern } : { ...none, grants: pattern }
}

/** Whether an entry has a selector that some agents which know entries of containers do not know. An empty text names nothing. */
export function isOfKubernetes(entry: {
  readonly containerName?: string | undefined
  readonly containerPod?: string | undefined
  readonly containerServiceAccount?: string | undefined
}): boolean {
  const { containerName = '', containerPod = '', containerServiceAccount = '' } = entry
  return containerServiceAccount !== '' || containerName.includes('/') || containerPod.includes('/')
}
